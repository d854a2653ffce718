"""Work that goes from one station to the next, each of which does one thing at a time in the order
of coming: the bare queueing, of which `queueing` says what the stations are.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

NOWHERE: Final = -1
"""Time that passes without a station: on the way, or at a disk."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`seconds` of work at a station."""

    station: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Job:
    """What comes at `at_s` and goes through `stages`; `answered` of them until whoever waits for it
    is answered, 0 where nobody does.
    """

    at_s: float
    stages: tuple[Stage, ...]
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """One job's answer: when it came and was answered, s."""

    at_s: float
    then_s: float


def passed(jobs: Iterable[Job], stations: int) -> Iterator[Answered]:
    """When each job was answered. `jobs` come in order of time."""
    free, order = [0.0] * stations, count()
    waiting: list[tuple[float, int, Job, int]] = []
    coming = iter(jobs)
    upcoming = next(coming, None)
    while waiting or upcoming is not None:
        if upcoming is not None and (not waiting or upcoming.at_s <= waiting[0][0]):
            heapq.heappush(waiting, (upcoming.at_s, next(order), upcoming, 0))
            upcoming = next(coming, None)
            continue
        now_s, _, job, done = heapq.heappop(waiting)
        if done and done == job.answered:
            yield Answered(job.at_s, now_s)
        if done == len(job.stages):
            continue
        stage = job.stages[done]
        end_s = now_s + stage.seconds
        if stage.station != NOWHERE:
            end_s = max(now_s, free[stage.station]) + stage.seconds
            free[stage.station] = end_s
        heapq.heappush(waiting, (end_s, next(order), job, done + 1))
