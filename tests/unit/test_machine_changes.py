"""What operators do to machines, and what of their standing changes with it; tickets, makers, masks; the record read out in chunks."""

from dataclasses import replace

import pytest

from framegate.errors import Failure, FramegateError, Reason
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.machines.ticket import TicketState
from framegate.record.entry import Act
from framegate.registry.device import Baseline, Shown, Standing, TlsKey
from framegate.tpm.attest import ClockInfo
from framegate.wire import sha256
from framegate_controller.events.notices import AttestNow, DeviceChanged
from framegate_controller.fleet.lifecycle_changes import (
    approve,
    ask_for_evidence,
    begin_maintenance,
    end_maintenance,
    quarantine,
    release,
    retire,
)
from framegate_controller.fleet.makers import add_maker
from framegate_controller.fleet.masks import set_masks
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.verbs.devices import Change, ChangeDevice
from framegate_controller.verbs.record import CHUNK, ReadLog
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import camera_of

CAM = "camera.line-1.cam1"
COUNTERS = Failure(Reason.COUNTERS, "counters that rise", "they fell", "")
SQUARE = {"points": [[0, 0], [1, 0], [1, 1]]}


@pytest.fixture
def camera(bench):
    """A trusted camera with a result, a certificate and a clock."""
    now = bench.clock()
    made = camera_of(
        "cam1",
        State.TRUSTED,
        standing=Standing(result_id="r", result_ms=now, expires_ms=now + 60_000),
        tls=TlsKey(public=b"p", spki_sha256=b"s", certificate_expires_ms=now + 60_000),
        baseline=Baseline(clock=ClockInfo(1, 2, 3, True)),
    )
    with bench.store.writing() as tx:
        tx.devices.add(made)
    return bench


def done(bench, change, *arguments):
    """`change` of the camera as anna, and the camera after it."""
    with bench.store.writing() as tx:
        tx.act = Act(actor="operator.anna")
        before = tx.revision()
        returned = change(tx, tx.devices.get(CAM), *arguments)
        raised = tx.revision() > before
    after = bench.device()
    assert returned == after
    return after, raised


def refused(bench, change, *arguments) -> Reason:
    before = bench.device()
    with pytest.raises(FramegateError) as caught:
        done(bench, change, *arguments)
    assert bench.device() == before
    return caught.value.reason


def test_a_quarantine_ends_the_result_at_once_and_is_told(camera):
    after, raised = done(camera, quarantine, "dirty")
    assert (after.state, after.standing.expires_ms, after.since_ms) == (State.QUARANTINED, camera.clock(), camera.clock()) and raised
    told = camera.events("quarantine")[-1]
    assert (told["actor"], told["detail"], told["from"], told["to"]) == ("operator.anna", "dirty", "trusted", "quarantined")
    assert refused(camera, quarantine, "again") == Reason.TRANSITION


@pytest.mark.parametrize("fell", [True, False])
def test_a_release_resets_the_clock_where_its_counters_fell_and_nowhere_else(camera, fell):
    with camera.store.writing() as tx:
        device = tx.devices.get(CAM)
        tx.devices.put(replace(device, state=State.SUSPECT, shown=Shown(failures=(COUNTERS,) if fell else ())))
    after, raised = done(camera, release, "serviced")
    assert after.state == State.STALE and raised and (after.baseline.clock is None) == fell
    assert [e["detail"] for e in camera.events("counters-accepted")] == (["serviced"] if fell else [])


def test_retirement_ends_result_certificate_and_tickets(camera):
    with camera.store.writing() as tx:
        invite(tx, Invitation(kind=Kind.CAMERA, zone="line-1", name="cam1", profile="simulated-camera", code=b"c" * 16, life_s=60, replaces=True))
    after, _ = done(camera, retire, "old")
    assert (after.state, after.standing.expires_ms, after.certificate_expires_ms) == (State.RETIRED, camera.clock(), 0)
    with camera.store.reading() as tx:
        assert tx.tickets.get(sha256(b"c" * 16)) is None
    for change in (quarantine, release, approve, retire, ask_for_evidence):
        assert refused(camera, change, "no more") == Reason.TRANSITION
    assert refused(camera, begin_maintenance, 5, "r") == refused(camera, end_maintenance) == Reason.TRANSITION


def test_only_a_machine_that_waits_for_it_is_approved(camera):
    assert refused(camera, approve, "r") == Reason.TRANSITION
    with camera.store.writing() as tx:
        tx.devices.put(replace(tx.devices.get(CAM), state=State.PENDING))
    assert done(camera, approve, "r")[0].state == State.STALE


def test_maintenance_begins_and_ends_and_the_state_stays(camera):
    assert refused(camera, end_maintenance) == Reason.CONFLICT
    after, raised = done(camera, begin_maintenance, 5, "lens")
    assert (after.maintenance_until_ms, after.maintenance, after.state) == (camera.clock() + 300_000, "lens", State.TRUSTED) and raised
    after, raised = done(camera, end_maintenance)
    assert (after.maintenance_until_ms, after.maintenance, after.serviced(camera.clock())) == (0, "", False) and raised
    assert [(e["event"], e.get("detail", "")) for e in camera.events(device=CAM)] == [("maintenance-began", "5 min: lens"), ("maintenance-ended", "")]


@pytest.mark.parametrize("change", list(Change))
def test_a_change_says_whom_to_tell_and_is_asked_of_the_zone(camera, change):
    state = {Change.RELEASE: State.QUARANTINED, Change.APPROVE: State.PENDING}.get(change, State.TRUSTED)
    with camera.store.writing() as tx:
        tx.devices.put(replace(tx.devices.get(CAM), state=state))
    verb = ChangeDevice.parse(pb.ChangeRequest(device="cam", event=change.value, reason="w" * 900))
    assert len(verb.reason) == 500
    with camera.store.writing() as tx:
        aim = verb.aim(tx)
        tell = verb.run(tx, None).tell
    assert (aim.verb, aim.zone, aim.target) == ("device.lift" if change == Change.RELEASE else f"device.{change}", "line-1", CAM)
    asks, changes = (AttestNow(CAM),), (DeviceChanged(CAM),)
    expected = {Change.ATTEST_NOW: asks, Change.RELEASE: changes + asks, Change.APPROVE: changes + asks}
    assert tell == expected.get(change, changes)


# --- tickets ---


def invited(bench, **members):
    given = {"kind": Kind.CAMERA, "zone": "line-1", "name": "cam1", "profile": "simulated-camera", "code": b"c" * 16, "life_s": 60}
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
        ({"replaces": True, "kind": Kind.GATEWAY}, Reason.NOT_FOUND),
        ({"replaces": True, "name": "cam2"}, Reason.NOT_FOUND),
    ],
)
def test_invitations_that_nobody_gets(camera, members, reason):
    with pytest.raises(FramegateError) as caught:
        invited(camera, **members)
    assert caught.value.reason == reason
    with camera.store.reading() as tx:
        assert tx.tickets.get(sha256(b"c" * 16)) is None


def test_a_retired_machine_gives_up_its_name_in_whatever_zone_it_was(camera):
    done(camera, retire, "old")
    assert invited(camera, zone="line-2") == "camera.line-2.cam1"
    with camera.store.reading() as tx:
        assert tx.devices.get(CAM) is None and tx.devices.get("camera.line-2.cam1").state == State.INVITED


def test_a_machine_has_one_ticket_and_its_replacement_keeps_it_in_its_place(camera):
    invited(camera, replaces=True)
    invited(camera, replaces=True, code=b"d" * 16, ek_sha256=bytes(32))
    with camera.store.reading() as tx:
        assert tx.tickets.get(sha256(b"c" * 16)) is None
        kept = tx.tickets.get(sha256(b"d" * 16))
        assert (kept.device, kept.replaces, kept.ek_sha256, kept.state(camera.clock())) == (CAM, True, bytes(32), TicketState.OPEN)
        assert tx.devices.get(CAM).state == State.TRUSTED
    assert [e["detail"] for e in camera.events("replacement-invited")] == ["not bound to an EK", "bound to an EK"]


def test_a_quarantine_is_not_left_by_an_unbound_replacement(camera):
    done(camera, quarantine, "held")
    with pytest.raises(FramegateError) as caught:
        invited(camera, replaces=True)
    assert caught.value.reason == Reason.QUARANTINED and invited(camera, replaces=True, ek_sha256=bytes(32)) == CAM


def test_a_makers_ca_is_trusted_once_and_an_ek_certificate_never(camera, maker):
    with camera.store.writing() as tx:
        assert add_maker(tx, maker.certificate) == add_maker(tx, maker.certificate)
        assert len(tx.makers.all()) == 1
        with pytest.raises(FramegateError) as caught:
            add_maker(tx, camera.keys.signing["log"].certificate)
    assert caught.value.reason == Reason.CERTIFICATE and len(camera.events("tpm-ca-added")) == 1


def test_masks_count_up_and_never_fall(camera):
    for version, regions in ((1, (SQUARE,)), (2, ())):
        with camera.store.writing() as tx:
            made = set_masks(tx, camera.keys, tx.devices.get(CAM), regions)
            assert made.version == version and tx.masks.get(CAM) == made
    assert [e["detail"] for e in camera.events("masks-set")] == ["version 1, 1 regions", "version 2, 0 regions"]


# --- the record, read out ---


@pytest.fixture
def long(bench):
    with bench.store.writing() as tx:
        for number in range(2 * CHUNK + 20):
            tx.log.append({"kind": "event", "event": "x", "actor": f"a{number % 3}", "detail": str(number)})
        bench.size = tx.log.size()
    return bench


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [0, 1, CHUNK, CHUNK + 1])
def test_a_record_is_read_out_whole_while_others_write(long, newest_first, limit):
    verb = ReadLog.parse(pb.ReadLogRequest(newest_first=newest_first, limit=limit))
    seen = []
    for row in verb.rows(long.store, long.fleet, long.size):
        seen.append(row.index)
        if len(seen) == 1:
            with long.store.writing() as tx:  # no reader holds it up
                tx.log.append({"kind": "event", "event": "later", "actor": "a"})
    every = list(range(long.size))[:: -1 if newest_first else 1]
    assert seen == (every[:limit] if limit else every)


def test_a_record_is_read_out_from_an_entry_on_and_by_what_is_asked_for(long):
    asked = ReadLog.parse(pb.ReadLogRequest(first=long.size - 30, actor="a1"))
    rows = list(asked.rows(long.store, long.fleet, long.size))
    assert len(rows) == 10 and all(r.index >= long.size - 30 and r.actor == "a1" for r in rows)
