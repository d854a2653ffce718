"""Machines that fall silent become stale."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from framegate_controller.clockwork.staleness import Silence, look
from framegate_controller.events.notices import DeviceChanged
from support.clockwork import staleness_of
from support.waiting import until

CAMERA = "camera.line-1.cam1"


async def test_a_timer_that_fires_early_is_armed_again(bench):
    """Event loop and wall clock differ by a millisecond now and then: the device must become
    stale all the same.
    """
    bench.enrol()
    staleness, _ = staleness_of(bench)
    staleness.late((CAMERA,))
    assert bench.state() == "trusted" and staleness.timers.armed(CAMERA)
    bench.clock.pass_s(2.001)
    staleness.arm(CAMERA, bench.clock() - 2001)
    await until(lambda: bench.state() == "stale")
    await staleness.stop()


async def test_devices_that_were_trusted_when_the_last_controller_stopped_become_stale(bench):
    bench.enrol()
    staleness, bus = staleness_of(bench)
    bench.clock.pass_s(2.001)
    with bus.watch(CAMERA) as events:
        await staleness.start()
        await until(lambda: bench.state() == "stale")
        assert (await events.next(30)).state == "stale"  # whom it is about hears of it
    assert [e["actor"] for e in bench.events("late")] == ["controller"]
    await staleness.stop()


async def test_whoever_keeps_all_other_threads_waiting_keeps_no_silent_machine_trusted(bench):
    """Calls wait for a store that is busy in the threads that they share: what they wait for is
    somebody else's.
    """
    bench.enrol()
    staleness, bus = staleness_of(bench)
    let_go = threading.Event()
    await staleness.start()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    held = asyncio.create_task(asyncio.to_thread(let_go.wait))
    bench.clock.pass_s(2.001)
    try:
        with bus.watch(CAMERA) as events:
            staleness.arm(CAMERA, bench.clock() - 2001)
            assert (await events.next(30)).state == "stale"
            assert bench.state() == "stale"
    finally:
        let_go.set()
        await held
        await staleness.stop()


async def test_an_event_loop_that_stands_still_keeps_no_silent_machine_trusted(bench):
    bench.enrol()
    staleness, _ = staleness_of(bench)
    await staleness.start()
    bench.clock.pass_s(2.001)
    staleness.arm(CAMERA, bench.clock() - 2001)
    end = time.monotonic() + 30
    while bench.state() != "stale" and time.monotonic() < end:
        time.sleep(0.001)  # noqa: ASYNC251 - what the loop must not do
    assert bench.state() == "stale"
    await staleness.stop()


async def test_machines_that_fall_silent_together_wait_for_one_turn_to_write(bench):
    """Whoever has the turn has it once: a look for each of them waited for it as often as there
    are machines, behind everybody else, and the last of a hundred was said to be stale 25 s late.
    """
    names = [f"camera.line-1.c{number}" for number in range(12)]
    for name in names:
        bench.enrol(name.rpartition(".")[2])
    staleness, _ = staleness_of(bench)
    bench.clock.pass_s(2.001)
    begun = bench.store.writing
    turns = []

    def writing(**first):
        turns.append(first)
        return begun(**first)

    bench.store.writing = writing
    staleness.late(names)
    assert turns == [{"first": True}]
    assert {bench.state(name) for name in names} == {"stale"}
    await staleness.stop()


async def test_a_machine_that_cannot_be_looked_at_keeps_no_other_one_trusted(bench, monkeypatch):
    bench.enrol()
    bench.enrol("cam2")
    staleness, _ = staleness_of(bench)
    bench.clock.pass_s(2.001)
    looked = staleness._look

    def fails(devices):
        silences = looked(devices)
        if "camera.line-1.cam2" in devices:
            raise OSError("a row that cannot be read")
        return silences

    monkeypatch.setattr(staleness, "_look", fails)
    staleness.late(("camera.line-1.cam2", CAMERA))
    assert bench.state() == "stale"
    assert staleness.timers.armed("camera.line-1.cam2") and not staleness.timers.armed(CAMERA)
    await staleness.stop()


async def test_a_result_arms_the_timer_and_another_state_does_not(bench):
    bench.enrol()
    bench.enrol("cam2")
    staleness, bus = staleness_of(bench)
    armed = []
    await staleness.start()
    staleness.timers.arm = lambda device, _delay_s: armed.append(device)
    from framegate.machines.lifecycle import Event as Edge

    bench.move(Edge.QUARANTINE, "camera.line-1.cam2")
    await bus.publish((DeviceChanged(CAMERA), DeviceChanged("camera.line-1.cam2")))
    assert armed == [CAMERA]
    await staleness.stop()


async def test_a_device_that_cannot_be_looked_at_is_looked_at_again(bench, monkeypatch):
    bench.enrol()
    staleness, _ = staleness_of(bench)

    def busy(_devices):
        raise OSError("database is locked")

    monkeypatch.setattr(staleness, "_look", busy)
    staleness.late((CAMERA,))
    assert staleness.timers.armed(CAMERA)
    await staleness.stop()


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
    await staleness.stop()
