"""Invitations and tickets: who gets one and who joins by it."""

import pytest

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.machines.ticket import TicketState
from framegate.wire import sha256
from framegate_controller.fleet.lifecycle_changes import (
    quarantine,
    retire,
)
from framegate_controller.fleet.tickets import Invitation, invite
from support.enrolment import refused_hello
from support.machine_changes import CAM, done


def invited(bench, **members):
    given = {
        "kind": Kind.CAMERA,
        "zone": "line-1",
        "name": "cam1",
        "profile": "simulated-camera",
        "code": b"c" * 16,
        "life_s": 60,
    }
    with bench.store.writing() as tx:
        return invite(tx, Invitation(**given | members))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, Reason.NAME_TAKEN),
        ({"zone": "line-2"}, Reason.NAME_TAKEN),
        ({"name": "a b"}, Reason.USAGE),
        ({"profile": "a b"}, Reason.USAGE),
        ({"profile": "none"}, Reason.PROFILE_MISSING),
        (
            {"replaces": True, "kind": Kind.GATEWAY, "profile": "simulated-gateway"},
            Reason.NOT_FOUND,
        ),
        ({"name": "cam2", "profile": "simulated-gateway"}, Reason.PROFILE_KIND),
        ({"replaces": True, "name": "cam2"}, Reason.NOT_FOUND),
    ],
)
def test_invitations_that_nobody_gets(trusted_camera, members, reason):
    with pytest.raises(FramegateError) as caught:
        invited(trusted_camera, **members)
    assert caught.value.reason == reason
    with trusted_camera.store.reading() as tx:
        assert tx.tickets.get(sha256(b"c" * 16)) is None


def test_a_ticket_that_did_not_reach_its_machine_is_taken_back_by_the_next(bench):
    """Nobody joined: the same invitation again gives another ticket, and the first one ends."""
    invited(bench, name="cam9")
    again = invited(bench, name="cam9", code=b"d" * 16)
    assert again == "camera.line-1.cam9"
    with bench.store.reading() as tx:
        assert tx.tickets.get(sha256(b"c" * 16)) is None
        assert tx.tickets.get(sha256(b"d" * 16)).device == again
        assert tx.devices.get(again).state == State.INVITED
    for other in ({"zone": "line-2"}, {"kind": Kind.GATEWAY, "profile": "simulated-gateway"}):
        with pytest.raises(Refused) as caught:
            invited(bench, name="cam9", code=b"e" * 16, **other)
        assert caught.value.reason == Reason.NAME_TAKEN
    assert len(bench.events("invited")) == 2


def test_a_retired_machine_gives_up_its_name_in_whatever_zone_it_was(trusted_camera):
    done(trusted_camera, retire, "old")
    assert invited(trusted_camera, zone="line-2") == "camera.line-2.cam1"
    with trusted_camera.store.reading() as tx:
        assert (
            tx.devices.get(CAM) is None
            and tx.devices.get("camera.line-2.cam1").state == State.INVITED
        )


def test_a_machine_has_one_ticket_and_its_replacement_keeps_it_in_its_place(trusted_camera):
    invited(trusted_camera, replaces=True)
    invited(trusted_camera, replaces=True, code=b"d" * 16, ek_sha256=bytes(32))
    with trusted_camera.store.reading() as tx:
        assert tx.tickets.get(sha256(b"c" * 16)) is None
        kept = tx.tickets.get(sha256(b"d" * 16))
        assert (kept.device, kept.replaces, kept.ek_sha256, kept.state(trusted_camera.clock())) == (
            CAM,
            True,
            bytes(32),
            TicketState.OPEN,
        )
        assert tx.devices.get(CAM).state == State.TRUSTED
    assert [e["detail"] for e in trusted_camera.events("replacement-invited")] == [
        "not bound to an EK",
        "bound to an EK",
    ]


def test_a_quarantine_is_not_left_by_an_unbound_replacement(trusted_camera):
    done(trusted_camera, quarantine, "held")
    with pytest.raises(FramegateError) as caught:
        invited(trusted_camera, replaces=True)
    assert (
        caught.value.reason == Reason.QUARANTINED
        and invited(trusted_camera, replaces=True, ek_sha256=bytes(32)) == CAM
    )


def test_ticket_expires(bench):
    code = bench.invite(life_s=60)
    bench.clock.pass_s(61)
    assert refused_hello(bench, bench.forge(), code) == Reason.TICKET_EXPIRED


def test_ticket_bound_to_another_ek(bench):
    code = bench.invite(ek=bench.forge().ek_sha256)
    assert refused_hello(bench, bench.forge(), code) == Reason.EK_NOT_PINNED


def test_ticket_without_ek_hash_needs_an_approval_and_fresh_evidence(bench):
    from framegate.machines.lifecycle import Event

    forge = bench.forge()
    answer = bench.join(forge, bench.invite())
    assert answer.state == "pending" and answer.certificate is None
    assert bench.join(forge).state == "pending"
    bench.move(Event.APPROVED)
    assert bench.state() == "stale"
    assert bench.join(forge).state == "trusted"


def test_retired_device_comes_back_only_by_a_new_ticket(bench):
    from framegate.machines.lifecycle import Event

    forge = bench.enrol()
    bench.move(Event.RETIRE)
    assert refused_hello(bench, forge, b"") == Reason.EK_UNKNOWN
    with pytest.raises(Refused):
        bench.attest(forge)
    assert bench.join(forge, bench.invite(ek=forge.ek_sha256, code=b"\x09" * 16)).state == "trusted"


@pytest.mark.parametrize(
    ("zone", "name"), [("line-1", "c" * 63), ("z" * 51, "cam-17"), ("z" * 63, "c" * 63)]
)
def test_an_identity_that_no_certificate_can_carry_is_refused_at_the_invitation(bench, zone, name):
    from framegate_controller.fleet.tickets import Invitation, invite

    with pytest.raises(Malformed) as caught, bench.store.writing() as tx:
        invite(
            tx,
            Invitation(
                kind=Kind.CAMERA,
                zone=zone,
                name=name,
                profile="simulated-camera",
                code=b"c" * 16,
                life_s=60,
            ),
        )
    assert caught.value.reason == Reason.USAGE and "64" in caught.value.failures[0].expected
