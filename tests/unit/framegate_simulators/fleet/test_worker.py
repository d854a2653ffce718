"""Machines of one process that press, and what is kept of what they are told."""

import asyncio
from collections import Counter

import pytest

from framegate.errors import Reason, Unavailable
from framegate.machines.lifecycle import State
from framegate_agent.daemon import JITTER as AGENTS
from framegate_simulators.fleet import worker as fleet_worker
from framegate_simulators.fleet.device import How, Ports
from framegate_simulators.fleet.plan import Act, Plan, Shares
from framegate_simulators.fleet.worker import MOST_SAID, Worker
from framegate_simulators.machine.tpm import TpmMaker

PORTS = Ports(("a",), ("b",), b"", b"")
TURNS = 12


@pytest.fixture
def worker(monkeypatch) -> Worker:
    monkeypatch.setattr(fleet_worker, "AGAIN_S", 0.0)
    plan = Plan(3, 60.0, 300.0, 1, 1, True, Shares(0, 0, 0, 0), pressing=True)
    return Worker(plan, 0, TpmMaker.found())


class Turns:
    """Turns of the worker's machines, the last of which ends its life."""

    def __init__(self, worker: Worker, *, answered: bool) -> None:
        self.worker, self.answered = worker, answered
        self.taken, self.under_way = Counter(), Counter()

    async def turn(self, ports, device, act, due) -> bool:
        assert act == Act.RENEW and not self.under_way[device.name]
        self.under_way[device.name] += 1
        self.taken[device.name] += 1
        await asyncio.sleep(0)
        self.under_way[device.name] -= 1
        if self.taken.total() >= TURNS:
            self.worker._end_s = 0.0
        return self.answered


@pytest.mark.parametrize("answered", [True, False])
async def test_each_machine_comes_again_as_soon_as_it_was_answered_and_never_twice_at_once(
    worker, monkeypatch, answered
):
    turns = Turns(worker, answered=answered)
    monkeypatch.setattr(worker, "_turn", turns.turn)
    await worker.press(PORTS)
    assert set(turns.taken.values()) == {TURNS // 3} and not +turns.under_way


async def test_each_machine_attests_once_before_they_press(worker, monkeypatch):
    turns = Turns(worker, answered=True)
    monkeypatch.setattr(worker, "_turn", turns.turn)
    await worker.once(PORTS)
    assert set(turns.taken.values()) == {1} and len(turns.taken) == 3


async def test_what_a_machine_was_told_is_kept_with_the_error(worker, monkeypatch):
    async def away(*_):
        raise Unavailable.of(Reason.UNAVAILABLE, f"a connection that is free{'.' * 200}", "none")

    monkeypatch.setattr(worker, "_done", away)
    device = worker.devices[0]
    assert not await worker._turn(PORTS, device, Act.RENEW, 0.0)
    assert worker.errors == {"renewals: unavailable": 1} and not any(worker.took.values())
    (said,) = worker.said
    assert said.startswith("a connection that is free") and len(said) == MOST_SAID
    worker.count_from_here()
    assert not worker.said and not worker.errors


async def test_who_was_answered_was_told_nothing(worker, monkeypatch):
    async def done(*_):
        return State.TRUSTED

    monkeypatch.setattr(worker, "_done", done)
    assert await worker._turn(PORTS, worker.devices[0], Act.RENEW, 0.0)
    assert not worker.said and not worker.errors and len(worker.took[How.JOIN]) == 1


class Clock:
    """A clock that only waiting moves, until the worker's life ends."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await SLEEP(0)


SLEEP = asyncio.sleep


@pytest.fixture
def clock(worker, monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(fleet_worker.time, "monotonic", clock.monotonic)
    monkeypatch.setattr(fleet_worker.asyncio, "sleep", clock.sleep)
    return clock


@pytest.mark.parametrize("wait_s", [0.0, 90.0])
async def test_a_machine_comes_again_an_interval_after_it_was_answered(
    worker, clock, monkeypatch, wait_s
):
    """As an agent does: however long it waited, never before."""
    begun, answered = [], []

    async def turn(_ports, _device, _act, _due) -> bool:
        begun.append(clock.now_s)
        clock.now_s += wait_s
        answered.append(clock.now_s)
        return True

    monkeypatch.setattr(worker, "_turn", turn)
    assert worker.plan.jitter == AGENTS
    worker._queue, worker._end_s = [(100.0, 0)], 100.0 + 4 * (60.0 + wait_s)
    await worker.live(PORTS)
    assert len(begun) >= 3
    for before, after in zip(answered, begun[1:], strict=False):
        assert 48.0 - 1e-6 <= after - before <= 72.0 + fleet_worker.LOOK_S


async def test_a_turn_that_fails_in_a_way_nobody_thought_of_is_not_a_machines_last(
    worker, clock, monkeypatch
):
    turns = []

    async def turn(*_) -> bool:
        turns.append(clock.now_s)
        if len(turns) == 1:
            raise RuntimeError("a fault of ours")
        return True

    monkeypatch.setattr(worker, "_turn", turn)
    worker._queue, worker._end_s = [(100.0, 0)], 300.0
    await worker.live(PORTS)
    assert len(turns) >= 2
