"""How an adapter ends: nothing new comes in, and what is in has its decision."""

import asyncio
from dataclasses import replace

from framegate_line import draining
from framegate_line.draining import drained
from framegate_line.rules import Trigger
from support.line import CAM1, CAM2
from support.waiting import until


class Announced:
    """Triggers that come when they are put in; which of them were taken over."""

    def __init__(self) -> None:
        self.queue, self.done = asyncio.Queue(), []

    async def triggers(self):
        while True:
            trigger = await self.queue.get()
            yield trigger, lambda t=trigger: self.done.append(t.trigger_sequence)


async def test_a_part_that_is_under_way_is_decided_by_its_verdicts_before_the_end(bench_line):
    b, source = bench_line, Announced()
    running = asyncio.create_task(b.adapter.run(source))
    source.queue.put_nowait(Trigger("p1", "t", 1))
    await until(lambda: b.adapter.under_way)
    beats = b.output.beats
    ending = asyncio.create_task(drained(b.adapter))
    await until(lambda: b.output.beats > beats)  # the heart goes on beating
    assert not ending.done()
    source.queue.put_nowait(Trigger("p2", "t", 2))
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    await asyncio.wait_for(ending, 30)
    assert [d.outcome for d, _ in b.output.decisions] == ["PASS"]
    assert source.done == [1]  # the second is announced again, to the next adapter
    running.cancel()


async def test_a_part_whose_verdicts_do_not_come_is_decided_by_its_deadline(bench_line):
    b, source = bench_line, Announced()
    b.adapter.rules = replace(b.adapter.rules, deadline_ms=100)
    running = asyncio.create_task(b.adapter.run(source))
    source.queue.put_nowait(Trigger("p1", "t", 1))
    await until(lambda: b.adapter.under_way)
    await asyncio.wait_for(drained(b.adapter), 30)
    assert [d.outcome for d, _ in b.output.decisions] == ["UNINSPECTED"]
    running.cancel()


async def test_a_deadline_that_is_long_does_not_hold_the_end_up(bench_line, monkeypatch):
    monkeypatch.setattr(draining, "MOST_S", 0.05)
    b, source = bench_line, Announced()
    b.adapter.rules = replace(b.adapter.rules, deadline_ms=60_000)
    running = asyncio.create_task(b.adapter.run(source))
    source.queue.put_nowait(Trigger("p1", "t", 1))
    await until(lambda: b.adapter.under_way)
    await asyncio.wait_for(drained(b.adapter), 30)
    assert b.adapter.under_way == 1 and not b.output.decisions, "the next start decides it"
    running.cancel()


async def test_an_adapter_that_has_nothing_ends_at_once(bench_line):
    await asyncio.wait_for(drained(bench_line.adapter), 30)


async def test_the_heart_promises_its_next_beat(bench_line):
    running = asyncio.create_task(bench_line.adapter.run(Announced()))
    await until(lambda: bench_line.output.beats)
    assert bench_line.adapter.promise._due is not None
    running.cancel()
