"""What happens by itself: silent devices become stale, what is over is said, heads are kept, chores go on."""

import asyncio
import threading
from dataclasses import replace

import pytest

from framegate.machines.request import RequestKind, RequestState
from framegate.record.people_events import SetUpEnded
from framegate.registry.request import AccessRequest
from framegate_controller.clockwork.housekeeping import HeadKeeper, say_what_is_over
from framegate_controller.clockwork.run import Chore, Clockwork
from framegate_controller.clockwork.staleness import Silence, Staleness, look
from framegate_controller.events.bus import InMemoryBus
from framegate_controller.events.notices import AccessChanged, DeviceChanged
from framegate_controller.timing import Timing
from framegate_host.witness_file import read_heads

CAMERA = "camera.line-1.cam1"


def staleness_of(bench, interval_ms=1000):
    fleet = replace(bench.fleet, timing=Timing(interval_ms))
    bus = InMemoryBus(bench.store, fleet)
    return Staleness(bench.store, fleet, bus), bus


async def becomes_stale(bench) -> bool:
    for _ in range(200):
        if bench.state() == "stale":
            return True
        await asyncio.sleep(0.01)
    return False


# --- staleness ---


async def test_a_timer_that_fires_early_is_armed_again(bench):
    """Event loop and wall clock differ by a millisecond now and then: the device must become stale all the same."""
    bench.enrol()
    staleness, _ = staleness_of(bench)
    await staleness.late(CAMERA)
    assert bench.state() == "trusted" and staleness.timers.armed(CAMERA)
    bench.clock.pass_s(2.001)
    staleness.arm(CAMERA, bench.clock() - 2001)
    assert await becomes_stale(bench)
    staleness.stop()


async def test_devices_that_were_trusted_when_the_last_controller_stopped_become_stale(bench):
    bench.enrol()
    staleness, bus = staleness_of(bench)
    bench.clock.pass_s(2.001)
    with bus.watch(CAMERA) as events:
        await staleness.start()
        assert await becomes_stale(bench)
        assert (await events.next(1)).state == "stale"  # whom it is about hears of it
    assert [e["actor"] for e in bench.events("late")] == ["controller"]
    staleness.stop()


async def test_a_result_arms_the_timer_and_another_state_does_not(bench):
    bench.enrol()
    bench.enrol("cam2")
    staleness, bus = staleness_of(bench)
    await staleness.start()
    staleness.stop()
    staleness.timers._timers.clear()
    from framegate.machines.lifecycle import Event as Edge

    bench.move(Edge.QUARANTINE, "camera.line-1.cam2")
    await bus.publish((DeviceChanged(CAMERA), DeviceChanged("camera.line-1.cam2")))
    assert staleness.timers.armed(CAMERA) and not staleness.timers.armed("camera.line-1.cam2")
    staleness.stop()


async def test_a_device_that_cannot_be_looked_at_is_looked_at_again(bench, monkeypatch):
    bench.enrol()
    staleness, _ = staleness_of(bench)

    def busy(_device):
        raise OSError("database is locked")

    monkeypatch.setattr(staleness, "_look", busy)
    await staleness.late(CAMERA)
    assert staleness.timers.armed(CAMERA)
    staleness.stop()


def test_what_a_look_finds(bench):
    bench.enrol()
    with bench.store.writing() as tx:
        last = tx.devices.get(CAMERA).standing.result_ms
        assert look(tx, CAMERA, 2000) == Silence(result_ms=last)
        assert look(tx, "camera.line-1.nobody", 2000) == Silence()
        tx.devices.put(replace(tx.devices.get(CAMERA), maintenance_until_ms=tx.now_ms + 60_000))
    bench.clock.pass_s(3)
    with bench.store.writing() as tx:
        assert look(tx, CAMERA, 2000) == Silence(stale=True)
        assert look(tx, CAMERA, 2000) == Silence()
    assert bench.events("late")[0]["detail"] == "no result for 3 s, expected: in maintenance"


# --- what is over ---


def test_maintenance_that_is_over_is_said_once(bench):
    bench.enrol()
    with bench.store.writing() as tx:
        tx.devices.put(replace(tx.devices.get(CAMERA), maintenance_until_ms=tx.now_ms + 1000, maintenance="lens"))
        before = tx.revision()
    assert say_what_is_over(bench.store) == ()
    bench.clock.pass_s(2)
    assert say_what_is_over(bench.store) == (DeviceChanged(CAMERA),)
    assert say_what_is_over(bench.store) == ()
    device = bench.device()
    assert (device.maintenance_until_ms, device.maintenance) == (0, "")
    assert [(e["actor"], e["detail"]) for e in bench.events("maintenance-ended")] == [("controller", "its time is over")]
    with bench.store.reading() as tx:
        assert tx.revision() == before + 1


def test_a_role_whose_time_is_over_is_said_and_ends_nothing_else(bench):
    now = bench.clock()
    asked = AccessRequest(
        id="ab12", kind=RequestKind.ROLE, requester="anna", zone="*", summary="admin for 1 min", reason="r", role="admin", minutes=1,
        state=RequestState.APPROVED, asked_ms=now, expires_ms=now + 60_000, until_ms=now + 60_000,
    )  # fmt: skip
    approval = replace(asked, id="cd34", kind=RequestKind.ACT, role="", verb="zone.set", until_ms=0)
    with bench.store.writing() as tx:
        tx.requests.put(asked)
        tx.requests.put(approval)
    assert say_what_is_over(bench.store) == ()
    bench.clock.pass_s(60)
    assert say_what_is_over(bench.store) == (AccessChanged(),)
    assert say_what_is_over(bench.store) == ()
    with bench.store.reading() as tx:
        assert tx.requests.find("ab12").state == RequestState.ENDED and tx.requests.find("cd34").state == RequestState.APPROVED
    assert [(e["actor"], e["detail"]) for e in bench.events("role-ended")] == [("controller", "ab12: anna, admin for 1 min")]


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


# --- the clockwork itself ---


async def test_a_chore_that_fails_is_done_again_and_its_notices_are_published(bench, caplog):
    told, times = [], iter(range(100))

    def work():
        if next(times) == 0:
            raise OSError("database is locked")
        return (DeviceChanged(CAMERA),)

    staleness, bus = staleness_of(bench)

    async def publish(notices):
        told.append(notices)

    bus.publish = publish
    clockwork = Clockwork(bus, staleness, [Chore("a chore", 0.01, work)])
    await clockwork.start()
    while not told:
        await asyncio.sleep(0.01)
    await clockwork.stop()
    assert told[0] == (DeviceChanged(CAMERA),) and "a chore" in caplog.text


async def test_no_chore_is_under_way_once_the_clockwork_has_stopped(bench):
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        go_on.wait(5)
        done.append(1)
        return ()

    staleness, bus = staleness_of(bench)
    clockwork = Clockwork(bus, staleness, [Chore("slow", 0.001, work)])
    await clockwork.start()
    await asyncio.to_thread(begun.wait, 5)
    stopping = asyncio.create_task(clockwork.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    go_on.set()
    await stopping
    assert done == [1]


@pytest.mark.parametrize("state", ["running", "none"])
def test_rollouts_are_looked_at_without_a_writer_where_none_runs(bench, monkeypatch, state):
    from framegate.machines.rollout import Plan, RolloutState
    from framegate.registry.rollout import RolloutRecord
    from framegate_controller.clockwork import rollouts

    ticked = []
    monkeypatch.setattr(rollouts, "tick_all", ticked.append)
    if state == "running":
        plan = Plan(canary=0, waves=(100,), max_fail=1, soak_s=60, shadow=False)
        record = RolloutRecord(
            id="ab", profile="simulated-camera", from_revision=1, to_revision=2, plan=plan, state=RolloutState.RUNNING, step=0, step_ms=bench.clock(), started_ms=0
        )
        with bench.store.writing() as tx:
            tx.rollouts.put(record)
    rollouts.move_on(bench.store)
    assert len(ticked) == (state == "running")
