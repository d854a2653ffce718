"""The timers that make silent devices stale."""

import asyncio

from framegate_controller.rpc.hub import Hub
from framegate_controller.timing import Timing


async def test_a_timer_that_fires_early_is_armed_again(bench):
    """Event loop and wall clock differ by a millisecond now and then: the device must become stale all the same."""
    bench.enrol()
    hub = Hub(bench.verifier.database, Timing(1000), "c", bench.clock)
    await hub._make_stale("camera.line-1.cam1")
    assert bench.state() == "trusted" and "camera.line-1.cam1" in hub._timers
    bench.clock.pass_s(2.001)
    hub._arm("camera.line-1.cam1", bench.clock() - 2001)
    for _ in range(200):
        if bench.state() == "stale":
            break
        await asyncio.sleep(0.01)
    assert bench.state() == "stale"
    hub.stop()
