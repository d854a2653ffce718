"""Machines that fall silent become stale."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from framegate_controller.clockwork.staleness import Silence, look
from framegate_controller.events.notices import DeviceChanged
from support.clockwork import staleness_of

CAMERA = "camera.line-1.cam1"


async def becomes_stale(bench) -> bool:
    for _ in range(200):
        if bench.state() == "stale":
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_timer_that_fires_early_is_armed_again(bench):
    """Event loop and wall clock differ by a millisecond now and then: the device must become
    stale all the same.
    """
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


async def test_whoever_keeps_all_other_threads_waiting_keeps_no_silent_machine_trusted(bench):
    """Calls wait for a store that is busy in the threads that they share: what they wait for is
    somebody else's.
    """
    bench.enrol()
    staleness, bus = staleness_of(bench)
    let_go = threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    held = asyncio.create_task(asyncio.to_thread(let_go.wait))
    bench.clock.pass_s(2.001)
    try:
        with bus.watch(CAMERA) as events:
            await asyncio.wait_for(staleness.late(CAMERA), 30)
            assert bench.state() == "stale"
            assert (await events.next(30)).state == "stale"
    finally:
        let_go.set()
        await held


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


def test_n85_a_clock_that_was_set_back_keeps_nobody_trusted(bench):
    """A result of a time to come: how old it is nobody knows, so its machine attests anew."""
    forge = bench.enrol()
    bench.clock.pass_s(-3600)
    with bench.store.writing() as tx:
        assert look(tx, CAMERA, 120_000) == Silence(stale=True)
    assert bench.events("late")[0]["detail"] == "the clock was set back since its last result"
    bench.clock.pass_s(3600 - 4)  # as little as two clocks that were corrected differ
    assert bench.attest(forge).state == "trusted"
    bench.clock.pass_s(-4)
    with bench.store.writing() as tx:
        assert not look(tx, CAMERA, 120_000).stale


async def test_n85_after_a_clock_was_set_back_a_timer_is_armed_no_longer_than_for_a_new_result(
    bench,
):
    staleness, _ = staleness_of(bench)
    armed = []
    staleness.timers.arm = lambda _device, delay_s: armed.append(delay_s)
    staleness.arm(CAMERA, bench.clock() + 3_600_000)
    staleness.arm(CAMERA, bench.clock() - 500)
    longest = bench.fleet.timing.stale_ms / 1000
    assert armed[0] <= longest and 0 < armed[1] < longest
    staleness.stop()
