"""What operators do to machines, and what of their standing changes with it."""

from dataclasses import replace

import pytest

from framegate.errors import Failure, FramegateError, Reason
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.registry.device import Shown
from framegate.wire import sha256
from framegate_controller.fleet.lifecycle_changes import (
    approve,
    ask_for_evidence,
    begin_maintenance,
    end_maintenance,
    quarantine,
    release,
    retire,
)
from framegate_controller.fleet.tickets import Invitation, invite
from support.machine_changes import CAM, done

COUNTERS = Failure(Reason.COUNTERS, "counters that rise", "they fell", "")


def refused_change(bench, change, *arguments) -> Reason:
    before = bench.device()
    with pytest.raises(FramegateError) as caught:
        done(bench, change, *arguments)
    assert bench.device() == before
    return caught.value.reason


def test_a_quarantine_ends_the_result_at_once_and_is_told(trusted_camera):
    after, raised = done(trusted_camera, quarantine, "dirty")
    assert (after.state, after.standing.expires_ms, after.since_ms) == (
        State.QUARANTINED,
        trusted_camera.clock(),
        trusted_camera.clock(),
    ) and raised
    told = trusted_camera.events("quarantine")[-1]
    assert (told["actor"], told["detail"], told["from"], told["to"]) == (
        "operator.anna",
        "dirty",
        "trusted",
        "quarantined",
    )
    assert refused_change(trusted_camera, quarantine, "again") == Reason.TRANSITION


@pytest.mark.parametrize("fell", [True, False])
def test_a_release_resets_the_clock_where_its_counters_fell_and_nowhere_else(trusted_camera, fell):
    with trusted_camera.store.writing() as tx:
        device = tx.devices.get(CAM)
        tx.devices.put(
            replace(device, state=State.SUSPECT, shown=Shown(failures=(COUNTERS,) if fell else ()))
        )
    after, raised = done(trusted_camera, release, "serviced")
    assert after.state == State.STALE and raised and (after.baseline.clock is None) == fell
    assert [e["detail"] for e in trusted_camera.events("counters-accepted")] == (
        ["serviced"] if fell else []
    )


def test_retirement_ends_result_certificate_and_tickets(trusted_camera):
    with trusted_camera.store.writing() as tx:
        invite(
            tx,
            Invitation(
                kind=Kind.CAMERA,
                zone="line-1",
                name="cam1",
                profile="simulated-camera",
                code=b"c" * 16,
                life_s=60,
                replaces=True,
            ),
        )
    after, _ = done(trusted_camera, retire, "old")
    assert (after.state, after.standing.expires_ms, after.certificate_expires_ms) == (
        State.RETIRED,
        trusted_camera.clock(),
        0,
    )
    with trusted_camera.store.reading() as tx:
        assert tx.tickets.get(sha256(b"c" * 16)) is None
    for change in (quarantine, release, approve, retire, ask_for_evidence):
        assert refused_change(trusted_camera, change, "no more") == Reason.TRANSITION
    assert (
        refused_change(trusted_camera, begin_maintenance, 5, "r")
        == refused_change(trusted_camera, end_maintenance)
        == Reason.TRANSITION
    )


def test_only_a_machine_that_waits_for_it_is_approved(trusted_camera):
    assert refused_change(trusted_camera, approve, "r") == Reason.TRANSITION
    with trusted_camera.store.writing() as tx:
        tx.devices.put(replace(tx.devices.get(CAM), state=State.PENDING))
    assert done(trusted_camera, approve, "r")[0].state == State.STALE


def test_maintenance_begins_and_ends_and_the_state_stays(trusted_camera):
    assert refused_change(trusted_camera, end_maintenance) == Reason.CONFLICT
    after, raised = done(trusted_camera, begin_maintenance, 5, "lens")
    assert (after.maintenance_until_ms, after.maintenance, after.state) == (
        trusted_camera.clock() + 300_000,
        "lens",
        State.TRUSTED,
    ) and raised
    after, raised = done(trusted_camera, end_maintenance)
    assert (
        after.maintenance_until_ms,
        after.maintenance,
        after.serviced(trusted_camera.clock()),
    ) == (0, "", False) and raised
    assert [(e["event"], e.get("detail", "")) for e in trusted_camera.events(device=CAM)] == [
        ("maintenance-began", "5 min: lens"),
        ("maintenance-ended", ""),
    ]
