"""What is over is said once; heads of the record are kept and thinned."""

from dataclasses import replace

import pytest

from framegate.errors import Refused
from framegate.machines.request import RequestKind, RequestState
from framegate.record.people_events import SetUpEnded
from framegate.registry.request import AccessRequest
from framegate_controller.clockwork.housekeeping import (
    SPENT_MS,
    HeadKeeper,
    forget_spent_challenges,
    say_what_is_over,
)
from framegate_controller.events.notices import AccessChanged, DeviceChanged
from framegate_host.witness_file import read_heads

CAMERA = "camera.line-1.cam1"


# --- what is over ---


def test_maintenance_that_is_over_is_said_once(bench):
    bench.enrol()
    with bench.store.writing() as tx:
        tx.devices.put(
            replace(
                tx.devices.get(CAMERA), maintenance_until_ms=tx.now_ms + 1000, maintenance="lens"
            )
        )
        before = tx.revision()
    assert say_what_is_over(bench.store) == ()
    bench.clock.pass_s(2)
    assert say_what_is_over(bench.store) == (DeviceChanged(CAMERA),)
    assert say_what_is_over(bench.store) == ()
    device = bench.device()
    assert (device.maintenance_until_ms, device.maintenance) == (0, "")
    assert [(e["actor"], e["detail"]) for e in bench.events("maintenance-ended")] == [
        ("controller", "its time is over")
    ]
    with bench.store.reading() as tx:
        assert tx.revision() == before + 1


def test_a_role_whose_time_is_over_is_said_and_ends_nothing_else(bench):
    now = bench.clock()
    asked = AccessRequest(
        id="ab12",
        kind=RequestKind.ROLE,
        requester="anna",
        zone="*",
        summary="admin for 1 min",
        reason="r",
        role="admin",
        minutes=1,
        state=RequestState.APPROVED,
        asked_ms=now,
        expires_ms=now + 60_000,
        until_ms=now + 60_000,
    )
    approval = replace(asked, id="cd34", kind=RequestKind.ACT, role="", verb="zone.set", until_ms=0)
    with bench.store.writing() as tx:
        tx.requests.put(asked)
        tx.requests.put(approval)
    assert say_what_is_over(bench.store) == ()
    bench.clock.pass_s(60)
    assert say_what_is_over(bench.store) == (AccessChanged(),)
    assert say_what_is_over(bench.store) == ()
    with bench.store.reading() as tx:
        assert (
            tx.requests.find("ab12").state == RequestState.ENDED
            and tx.requests.find("cd34").state == RequestState.APPROVED
        )
    assert [(e["actor"], e["detail"]) for e in bench.events("role-ended")] == [
        ("controller", "ab12: anna, admin for 1 min")
    ]


# --- answered challenges ---


def test_an_answered_challenge_is_remembered_until_its_time_is_long_over(bench):
    ends = bench.clock() + 1000
    with bench.store.writing() as tx:
        tx.challenges.spend(b"answered", ends)
    forget_spent_challenges(bench.store)
    bench.clock.pass_s(1)  # its last millisecond: its state still opens
    forget_spent_challenges(bench.store)
    with pytest.raises(Refused), bench.store.writing() as tx:
        tx.challenges.spend(b"answered", ends)
    bench.clock.pass_s(SPENT_MS // 1000)  # and a while longer: clocks of databases differ too
    forget_spent_challenges(bench.store)
    with pytest.raises(Refused), bench.store.writing() as tx:
        tx.challenges.spend(b"answered", ends)
    bench.clock.pass_s(1)
    forget_spent_challenges(bench.store)
    with bench.store.writing() as tx:
        tx.challenges.spend(b"answered", ends)


# --- heads of the record ---


def test_heads_are_kept_outside_the_store_whatever_becomes_of_one_file(bench, tmp_path):
    good, away = tmp_path / "heads", tmp_path / "usb" / "heads"
    keeper = HeadKeeper(bench.store, bench.fleet, (away, good))
    keeper.keep()
    keeper.keep()  # nothing was recorded: nothing to add
    assert len(read_heads(good)) == 1
    with bench.store.writing() as tx:
        tx.record(SetUpEnded(operator="anna"), by="controller")
    away.parent.mkdir()
    keeper.keep()
    assert len(read_heads(good)) == 2 and read_heads(away) == read_heads(good)[1:]


def test_heads_inside_the_store_are_thinned_after_a_day(bench, tmp_path):
    keeper = HeadKeeper(bench.store, bench.fleet, ())

    def grow(times: int) -> None:
        for _ in range(times):
            with bench.store.writing() as tx:
                tx.record(SetUpEnded(operator="anna"), by="controller")
            keeper.keep()
            bench.clock.pass_s(600)

    grow(13)  # two hours
    bench.clock.pass_s(86_400)
    grow(1)
    with bench.store.reading() as tx:
        kept = tx.log.heads(below=tx.log.size() + 1, most=100)
    assert 3 <= len(kept) <= 5
