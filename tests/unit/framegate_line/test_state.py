"""An adapter says once a second which of its outputs take what it hands them."""

import asyncio

from framegate.errors import Reason, Unavailable
from framegate.identity.certificates import from_ms
from framegate.signed.line_state import verify_line_state
from framegate_line import adapter as module
from support.line import RecordingOutput


class Nothing:
    async def triggers(self):
        await asyncio.Event().wait()
        yield None


async def states(bench, monkeypatch, count, tell=None):
    monkeypatch.setattr(module, "BEAT_S", 0.0)
    enough, told = asyncio.Event(), []

    def collect(envelope):
        told.append(envelope)
        if len(told) >= count:
            enough.set()
        if tell is not None:
            tell()

    bench.adapter._tell_state = collect
    task = asyncio.create_task(bench.adapter.run(Nothing()))
    await asyncio.wait_for(enough.wait(), 20)
    assert not task.done(), task.exception()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    fleet = bench.fleet
    root, now = fleet.root.certificate, from_ms(bench.now)
    return [verify_line_state(e, "press-7", fleet.intermediates, root, now) for e in told]


async def test_an_output_that_takes_and_one_that_does_not(bench_line, monkeypatch):
    broken = RecordingOutput("modbus:plc:502")
    broken.broken = True
    bench_line.adapter._outputs = (bench_line.output, broken)
    state, *_ = await states(bench_line, monkeypatch, 1)
    assert (state.taking, state.refusing) == (("recording",), ("modbus:plc:502",))


async def test_a_broker_that_is_away_ends_nothing(bench_line, monkeypatch):
    def away():
        raise Unavailable.of(Reason.LINE_OUTPUT, "the broker", "no connection")

    assert len(await states(bench_line, monkeypatch, 3, away)) >= 3
    assert bench_line.output.beats > 2 * module.STATE_BEATS  # whichever beat was the first
