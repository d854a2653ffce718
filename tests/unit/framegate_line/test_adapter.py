"""The line adapter: a part passes only by a verified PASS of every camera that comes in time."""

import asyncio
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed
from framegate.findings.kinds import FindingKind
from framegate.identity.certificates import from_ms
from framegate.pilot.policy import Stage
from framegate.pilot.would_stop import WouldStop
from framegate.signed.decision import verify_decision
from framegate.signed.statement import Outcome
from framegate_line import adapter as adapter_module
from framegate_line.ledger import NOT_TAKEN, SENT
from framegate_line.rules import Ruling, Trigger
from framegate_line.triggers import parse_trigger, trigger_json
from support.line import CAM1, CAM2, RULES, LineBench
from support.waiting import until


async def test_a_part_passes_when_every_camera_says_so(bench_line):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM1))
    assert await b.settled() == []
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == ["PASS"]
    decision, envelope = b.output.decisions[0]
    assert decision.verdicts == ("11", "21") and b.ledger.latest(1)[0].emitted == SENT
    assert (
        verify_decision(
            envelope, "press-7", b.fleet.intermediates, b.fleet.root.certificate, from_ms(b.now)
        )
        == decision
    )


@pytest.mark.parametrize("outcome", ["DEFECT", "UNINSPECTED"])
async def test_one_view_that_is_not_pass_decides(bench_line, outcome):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM2, outcome=outcome))
    b.adapter.verdict(b.verdict(CAM1))
    assert await b.settled() == [outcome]
    assert b.ledger.counts().late == 1, "the second verdict is logged as late"


async def test_the_first_verdict_of_a_camera_stands(bench_line):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM1))
    b.adapter.verdict(b.verdict(CAM1, outcome="DEFECT", verdict_id="second"))
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == ["PASS"]


async def test_verdicts_that_overtake_their_trigger(bench_line):
    b = bench_line
    b.adapter.verdict(b.verdict(CAM1))
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == []
    b.trigger()
    assert await b.settled() == ["PASS"]


async def test_the_deadline_fires_by_itself(keys, tmp_path):
    b = LineBench(keys, tmp_path)
    b.adapter.rules = replace(RULES, deadline_ms=20)
    b.trigger()
    await asyncio.sleep(0.1)
    assert await b.settled() == ["UNINSPECTED"]
    b.ledger.close()


async def test_a_second_trigger_is_the_same_part(bench_line):
    b = bench_line
    b.trigger(at_ms=b.now)
    b.trigger(at_ms=b.now)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    b.trigger(at_ms=b.now)
    assert (
        await b.settled() == ["PASS"]
        and b.adapter.duplicates == 2
        and sum(b.ledger.counts().outcomes.values()) == 1
    )


async def test_n_in_a_row_ask_for_a_stop(bench_line):
    b = bench_line
    for sequence in range(1, 8):
        b.trigger(sequence)
        b.adapter.verdict(
            b.verdict(CAM1, sequence, outcome="PASS" if sequence == 4 else "UNINSPECTED")
        )
        if sequence == 4:
            b.adapter.verdict(b.verdict(CAM2, sequence))
        await b.settled()
    assert [n.count for n in b.output.stops] == [3, 3] and b.output.stops[0].reason == "stale"


async def test_n_in_a_row_under_a_pilot_ask_nobody_and_are_reported(bench_line):
    b, told = bench_line, []
    b.adapter.stage = lambda: Stage.WARN
    b.adapter.report = lambda *seen: told.append(seen)
    for sequence in range(1, 4):
        b.trigger(sequence)
        b.adapter.verdict(b.verdict(CAM1, sequence, outcome="UNINSPECTED"))
        await b.settled()
    assert not b.output.stops
    ((text, said),) = [(t[1], t[2]) for t in told if t[0] is FindingKind.PILOT_STOP]
    assert WouldStop.parse(text) == WouldStop(Stage.WARN, "stale", "line-1")
    assert said == "3 parts UNINSPECTED in a row"


async def test_an_output_that_does_not_take_it_is_noted(bench_line):
    b = bench_line
    b.output.broken = True
    b.trigger()
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    await b.settled()
    assert b.ledger.latest(1)[0].emitted == NOT_TAKEN


@given(st.binary(max_size=300))
def test_triggers_that_are_anything(raw):
    try:
        trigger = parse_trigger(raw)
    except Malformed:
        return
    assert parse_trigger(trigger_json(trigger)) == trigger


async def test_n149_a_ledger_that_cannot_be_pruned_decides_parts_all_the_same(
    bench_line, monkeypatch, caplog
):
    b, asked = bench_line, asyncio.Event()

    def prune(*_):
        asked.set()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(b.ledger, "prune", prune)
    task = asyncio.create_task(b.adapter.keeper.keep())
    async with asyncio.timeout(10):
        await asked.wait()
    b.trigger()
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    assert await b.settled() == ["PASS"] and not task.done() and "disk I/O error" in caplog.text
    task.cancel()


class FullDisk:
    """A ledger whose writes fail while `full`."""

    def __init__(self, ledger) -> None:
        self._ledger, self.full = ledger, True

    def __getattr__(self, name):
        def write(*arguments):
            if self.full and name in {"open_part", "view", "decide"}:
                raise sqlite3.OperationalError("database or disk is full")
            return getattr(self._ledger, name)(*arguments)

        return write if callable(getattr(self._ledger, name)) else getattr(self._ledger, name)


async def test_n106_a_disk_that_is_full_lets_nothing_pass_and_ends_nothing(bench_line, monkeypatch):
    b = bench_line
    monkeypatch.setattr(adapter_module, "AGAIN_S", 0.01)
    b.trigger()
    b.adapter.ledger = full = FullDisk(b.ledger)
    b.adapter.verdict(b.verdict(CAM1))
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == []
    b.now += 5_000
    (part,) = b.ledger.left_open()
    b.adapter._decide(part, Ruling(Outcome.UNINSPECTED, "timeout"))
    assert await b.settled() == [] and b.adapter.under_way == 1
    full.full = False
    await until(lambda: bool(b.output.decisions))
    assert await b.settled() == ["UNINSPECTED"] and not b.ledger.left_open()


async def test_n106_a_part_that_the_disk_did_not_take_is_announced_again(bench_line):
    b = bench_line
    acknowledged = []

    class Source:
        async def triggers(self):
            for number in (1, 2):
                yield Trigger(f"p{number}", "t", number), lambda n=number: acknowledged.append(n)
                b.adapter.ledger.full = False

    b.adapter.ledger = FullDisk(b.ledger)
    await b.adapter._take(Source())
    assert acknowledged == [2] and [r.key.part for r in b.ledger.latest(5)] == ["p2"]
