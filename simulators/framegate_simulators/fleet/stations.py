"""Work that goes from one station to the next, each of which serves who waits in the order of
coming: the bare queueing, of which `queueing` says what the stations are. At a gate those who wait
are taken together, as one piece of work that goes to the stations itself.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

NOWHERE: Final = -1
"""Time that passes without a station: on the way, or at a disk."""
BETWEEN: Final = 8
"""Others that are served between two pieces of a batch, at most: its thread has its turn among
threads, however many of the others' there are. With so many in between, as many under way as were
measured cost what they did; with one batches stay small, with all who wait it starves.
"""


@dataclass(frozen=True, slots=True)
class Batched:
    """What is done for who passes a gate: `each_s` for each and `once_s` for all who pass together,
    at `station`, in pieces of at most `piece_s`, between which others are served there; then
    `rest_s` for all, which is nobody's.
    """

    station: int
    each_s: float
    once_s: float
    piece_s: float
    rest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Work at a station: `seconds`, and `waking_s` more where it had nothing to do before. With
    `batched`, the station is a gate, and what it says is done for those who pass together.
    """

    station: int
    seconds: float
    waking_s: float = 0.0
    batched: Batched | None = None


def as_one(those: Sequence[Batched]) -> tuple[Stage, ...]:
    """What is done for those who pass together, of whom whoever takes most of what is done once
    says how long that is.
    """
    once_s, rest_s = max(one.once_s for one in those), max(one.rest_s for one in those)
    whole_s = sum(one.each_s for one in those) + once_s
    pieces = math.ceil(whole_s / min(one.piece_s for one in those) - 1e-9) if whole_s else 0
    work = (Stage(those[0].station, whole_s / max(1, pieces)),) * pieces
    return (*work, Stage(NOWHERE, rest_s)) if rest_s else work


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
class Counted:
    """From when to when it is counted, s; infinite until it is known."""

    begin_s: float = 0.0
    end_s: float = math.inf


@dataclass(slots=True)
class _Under:
    """A job under way, of which `done` stages are over; those who passed the gate `station` as it
    go on when it is at its end.
    """

    job: Job
    done: int = 0
    members: tuple[_Under, ...] = ()
    station: int = NOWHERE


Again = Callable[[Job, float], Iterable[Job]]
"""What somebody was answered, and when, s: what is asked next, not before that."""
_Event = tuple[float, int, tuple[_Under, ...], int]
"""When, its place among those of one moment, whose stage is over, and at which station."""


def never(_before: Job, _then_s: float) -> Iterable[Job]:
    """Who was answered asks nothing more."""
    return ()


class Stations:
    """`count` of them, each of which serves one at a time; at a gate at most `together` pass as
    one, and the next when those are done. How long each is busy is told of what is `counted`.
    """

    def __init__(self, count: int, together: int = 1, counted: Counted | None = None) -> None:
        self._together, self._counted = together, counted or Counted()
        self._lines = [deque[_Under]() for _ in range(count)]
        self._pieces = [deque[_Under]() for _ in range(count)]
        self._others = [0] * count
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
                    for following in again(one.job, now_s):
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
            self._through(one, now_s)
            return
        stage = one.job.stages[one.done]
        if stage.station == NOWHERE:
            one.done += 1
            self._at(now_s + stage.seconds, (one,))
            return
        lines = self._pieces if one.members else self._lines
        lines[stage.station].append(one)
        if not self._busy[stage.station]:
            self._serve(stage.station, now_s)

    def _next(self, station: int) -> _Under | None:
        """A batch is done by a thread of its own, which has its turn after so many others."""
        pieces, line = self._pieces[station], self._lines[station]
        if pieces and (not line or self._others[station] >= BETWEEN):
            self._others[station] = 0
            return pieces.popleft()
        self._others[station] += 1
        return line.popleft() if line else None

    def _pass(self, first: _Under, station: int, now_s: float) -> None:
        """Through a gate, with those who wait there, as many as go together."""
        line = self._lines[station]
        others = (line.popleft() for _ in range(min(self._together - 1, len(line))))
        those = (first, *others)
        batches = [batch for one in those if (batch := one.job.stages[one.done].batched)]
        job = Job(now_s, as_one(batches))
        self._go_on(_Under(job, members=those, station=station), now_s)

    def _through(self, batch: _Under, now_s: float) -> None:
        """The gate is passed by those who went as one, and is open to the next."""
        for one in batch.members:
            one.done += 1
        if batch.members:
            self._at(now_s, batch.members, batch.station)

    def _serve(self, station: int, now_s: float) -> None:
        """Who waits there for longest, or nobody."""
        one = self._next(station)
        slept, self._busy[station] = not self._busy[station], one is not None
        if one is None:
            return
        stage = one.job.stages[one.done]
        if stage.batched is not None:
            self._pass(one, station, now_s)
            return
        took_s = stage.seconds + (stage.waking_s if slept else 0.0)
        counted_s = min(now_s + took_s, self._counted.end_s) - max(now_s, self._counted.begin_s)
        self.busy_s[station] += max(0.0, counted_s)
        one.done += 1
        self._at(now_s + took_s, (one,), station)
