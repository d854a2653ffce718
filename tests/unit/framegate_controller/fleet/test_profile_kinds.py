"""A profile says which kind of machine it is for, and no machine of another kind gets it."""

from dataclasses import replace

import pytest

from framegate.errors import Reason, Refused
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate_controller.fleet.profile_assignment import assign_profile
from framegate_controller.fleet.profiles import add_profile, import_profile, kind_of_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_simulators.fixtures.access import camera_of
from framegate_simulators.machine.boot import Firmware, profile_toml
from support.refusals import refused

NAME = "press"
NO_IMA = Firmware("press", ima=False)


def toml(kind: str, revision: int = 1) -> bytes:
    """A profile called `NAME`, for machines of `kind`; empty for any."""
    text = profile_toml(NO_IMA, NAME, revision)
    assert "kind" not in text
    said = f'kind = "{kind}"\n' if kind else ""
    return text.replace("description", f"{said}description", 1).encode()


def add(bench, kind: str, revision: int = 1) -> None:
    with bench.store.writing() as tx:
        add_profile(tx, bench.fleet.keys, toml(kind, revision))


def asked(kind: Kind, profile: str, name: str = "m1", **more) -> Invitation:
    return Invitation(
        kind=kind,
        zone="line-1",
        name=name,
        profile=profile,
        code=f"{name} {len(more)}".encode(),
        life_s=60,
        **more,
    )


def enrol(bench, kind: Kind, state: State = State.STALE) -> None:
    """A machine of `kind` that has the profile `NAME`."""
    with bench.store.writing() as tx:
        machine = camera_of("m7", state, since_ms=tx.now_ms)
        tx.devices.add(replace(machine, id=f"{kind}.line-1.m7", kind=kind, profile=NAME))


@pytest.mark.parametrize("kind", [Kind.CAMERA, Kind.GATEWAY])
def test_a_machine_is_invited_with_a_profile_of_its_own_kind_or_of_any(bench, kind):
    add(bench, "")
    with bench.store.writing() as tx:
        assert invite(tx, asked(kind, f"simulated-{kind}")) == f"{kind}.line-1.m1"
        assert invite(tx, asked(kind, NAME, "m2")) == f"{kind}.line-1.m2"


@pytest.mark.parametrize(
    ("kind", "profile"), [(Kind.CAMERA, "simulated-gateway"), (Kind.GATEWAY, "simulated-camera")]
)
def test_a_ticket_with_another_kinds_profile_is_refused_by_name(bench, kind, profile):
    with pytest.raises(Refused) as caught, bench.store.writing() as tx:
        invite(tx, asked(kind, profile))
    (failure,) = caught.value.failures
    assert failure.reason == Reason.PROFILE_KIND
    assert failure.expected == f"a firmware profile for {kind}s"
    assert failure.actual == f"{profile}, which is for {profile.split('-')[1]}s"
    with bench.store.reading() as tx:
        assert not tx.devices.all()


def test_neither_is_another_ticket_nor_a_replacement(bench):
    with bench.store.writing() as tx:
        invite(tx, asked(Kind.CAMERA, "simulated-camera"))
    for more in ({}, {"replaces": True, "ek_sha256": bytes(32)}):
        with bench.store.writing() as tx:
            again = asked(Kind.CAMERA, "simulated-gateway", **more)
            assert refused(lambda again=again, tx=tx: invite(tx, again)) == Reason.PROFILE_KIND
    with bench.store.reading() as tx:
        assert [d.profile for d in tx.devices.all()] == ["simulated-camera"]


@pytest.mark.parametrize("state", [s for s in State if s != State.RETIRED])
def test_another_kinds_profile_is_not_assigned_in_any_state(bench, state):
    add(bench, "camera")
    with bench.store.writing() as tx:
        tx.devices.add(camera_of("cam1", state, since_ms=tx.now_ms))
        before = tx.devices.get("camera.line-1.cam1")
        assert (
            refused(lambda: assign_profile(tx, before, "simulated-gateway", "w"))
            == Reason.PROFILE_KIND
        )
        assert tx.devices.get(before.id) == before
        assert assign_profile(tx, before, NAME, "w").profile == NAME
    assert len(bench.events("profile-assigned")) == 1


@pytest.mark.parametrize("after", ["gateway", ""])
def test_a_revision_keeps_the_kind_of_those_before_it(bench, after):
    add(bench, "camera")
    assert refused(lambda: add(bench, after, 2)) == Reason.PROFILE_KIND
    add(bench, "camera", 2)
    with bench.store.reading() as tx:
        assert kind_of_profile(tx, NAME) is Kind.CAMERA
        assert tx.profiles.newest(NAME) == 2


def test_one_that_is_kept_for_a_rollout_counts_too(bench):
    """Else a gateway could be assigned it before it is in force."""
    add(bench, "")
    sealed = add_profile_envelope(bench, toml("camera", 2))
    with bench.store.writing() as tx:
        import_profile(tx, bench.fleet.keys, sealed, in_force=False)
        assert refused(lambda: invite(tx, asked(Kind.GATEWAY, NAME))) == Reason.PROFILE_KIND
    assert refused(lambda: add(bench, "gateway", 3)) == Reason.PROFILE_KIND


def add_profile_envelope(bench, text: bytes) -> bytes:
    """`text`, signed by the controller's own key, and not kept."""
    from framegate.profile.model import PROFILE_TYPE
    from framegate.signed.dsse import seal_envelope

    key = bench.fleet.keys.signing["profile"]
    return seal_envelope(PROFILE_TYPE, text, key.der, key.sign)


def test_a_kind_is_first_said_where_no_machine_of_another_has_the_profile(bench):
    add(bench, "")
    enrol(bench, Kind.GATEWAY)
    with pytest.raises(Refused) as caught:
        add(bench, "camera", 2)
    assert caught.value.failures[0].actual == "gateway.line-1.m7"
    add(bench, "gateway", 2)


def test_machines_that_left_the_fleet_have_no_profile(bench):
    add(bench, "")
    enrol(bench, Kind.GATEWAY, State.RETIRED)
    add(bench, "camera", 2)
