"""Work that goes from one station to the next, each of which serves who waits in the order of
coming, several together where that is cheaper: the bare queueing, of which `queueing` says what
the stations are.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

NOWHERE: Final = -1
"""Time that passes without a station: on the way, or at a disk."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Work at a station: `seconds` for this job, `shared_s` once for all that are served together
    with it, and `waking_s` more where the station had nothing to do before.
    """

    station: int
    seconds: float
    shared_s: float = 0.0
    waking_s: float = 0.0


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


@dataclass(slots=True)
class _Under:
    """A job under way, of which `done` stages are over."""

    job: Job
    done: int = 0


Again = Callable[[Job, float], Job | None]
"""What somebody was answered, and when, s: what they ask next, not before that; None where nothing.
"""
_Event = tuple[float, int, tuple[_Under, ...], int]
"""When, its place among those of one moment, whose stage is over, and at which station."""


def never(_before: Job, _then_s: float) -> None:
    """Who was answered asks nothing more."""
    return


class Stations:
    """`count` of them, each of which serves at most `together` of those that wait at once. How
    long each is busy is counted from `begin_s` to `end_s`.
    """

    def __init__(
        self, count: int, together: int = 1, *, begin_s: float = 0.0, end_s: float = math.inf
    ) -> None:
        self._together, self._begin_s, self._end_s = together, begin_s, end_s
        self._lines = [deque[_Under]() for _ in range(count)]
        self._busy = [False] * count
        self._events: list[_Event] = []
        self._order = itertools.count()
        self.busy_s = [0.0] * count
        """For which each was."""

    def passed(self, jobs: Iterable[Job], again: Again = never) -> Iterator[Answered]:
        """When each job was answered, in order. `jobs` come in order of time, and what `again` says
        after each answer.
        """
        coming, events = iter(jobs), self._events
        upcoming = next(coming, None)
        while events or upcoming is not None:
            if upcoming is not None and (not events or upcoming.at_s <= events[0][0]):
                self._come(upcoming)
                upcoming = next(coming, None)
                continue
            now_s, _, those, station = heapq.heappop(events)
            for one in those:
                if one.done and one.done == one.job.answered:
                    yield Answered(one.job.at_s, now_s)
                    if (following := again(one.job, now_s)) is not None:
                        self._come(following)
                self._go_on(one, now_s)
            if station != NOWHERE:
                self._serve(station, now_s)

    def _come(self, job: Job) -> None:
        self._at(job.at_s, (_Under(job),))

    def _at(self, at_s: float, those: tuple[_Under, ...], station: int = NOWHERE) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), those, station))

    def _go_on(self, one: _Under, now_s: float) -> None:
        """To its next stage, if it has one."""
        if one.done == len(one.job.stages):
            return
        stage = one.job.stages[one.done]
        if stage.station == NOWHERE:
            one.done += 1
            self._at(now_s + stage.seconds, (one,))
            return
        self._lines[stage.station].append(one)
        if not self._busy[stage.station]:
            self._serve(stage.station, now_s)

    def _serve(self, station: int, now_s: float) -> None:
        """Those that wait there, as many as go together, or nobody."""
        line = self._lines[station]
        those = tuple(line.popleft() for _ in range(min(self._together, len(line))))
        slept, self._busy[station] = not self._busy[station], bool(those)
        if not those:
            return
        stages = [one.job.stages[one.done] for one in those]
        took_s = sum(one.seconds for one in stages) + max(one.shared_s for one in stages)
        if slept:
            took_s += max(one.waking_s for one in stages)
        counted_s = min(now_s + took_s, self._end_s) - max(now_s, self._begin_s)
        self.busy_s[station] += max(0.0, counted_s)
        for one in those:
            one.done += 1
        self._at(now_s + took_s, those, station)
