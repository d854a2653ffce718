"""A controller's clockwork: it begins before the ports open and ends before the store is closed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from framegate_controller.clockwork import rollouts, rotation
from framegate_controller.clockwork.housekeeping import (
    HeadKeeper,
    forget_spent_challenges,
    forget_unused_evidence,
    say_what_is_over,
    say_what_strangers_failed,
)
from framegate_controller.clockwork.incidents import IncidentFollower
from framegate_controller.clockwork.reporters import ReportWatch
from framegate_controller.clockwork.staleness import Staleness
from framegate_controller.context import Fleet
from framegate_controller.events.bus import Bus
from framegate_controller.events.notices import Notice
from framegate_controller.record.reports import ReportDesk
from framegate_controller.store.ports import Store
from framegate_controller.store.shared.failures import FailureFold
from framegate_host.watchdog import Promise

log = logging.getLogger(__name__)
ROLLOUT_TICK_S: Final = 1.0
HOUSEKEEPING_S: Final = 2.0
"""Ended roles and maintenance are over by the clock at once; a CA on its way waits for minutes."""
FORGET_S: Final = 60.0
"""Spent challenges take some fifty bytes each, and cost nothing until they are cleared away."""
REPORTERS_S: Final = 5.0
"""Silence is counted in minutes."""
INCIDENTS_S: Final = 1.0
"""Somebody is told what is open; how soon something was detected does not depend on it."""
COLLECT_S: Final = 30.0
"""Some dozen rows at a time: as many as machines within their share leave behind meanwhile."""
CHORE_MOST_S: Final = 120.0
"""How long one chore may take, a disk that is busy and a record that grew for days included. One
that takes longer stands still, and so does what waits for the store behind it.
"""
END_S: Final = 5.0
"""How long the end waits for a chore: longer than any takes, unless a disk is away."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every so many seconds: blocking `work`, which gives what is to be told."""

    name: str
    every_s: float
    work: Callable[[], tuple[Notice, ...]]


@dataclass(frozen=True, slots=True)
class Progress:
    """When a chore was last done, in seconds since the epoch; before the first time, when the
    clockwork began.
    """

    name: str
    every_s: float
    done_at: float


class Clockwork:
    """Does chores, each in a task of its own, so that one that waits or fails holds up no other."""

    def __init__(self, bus: Bus, staleness: Staleness, chores: Sequence[Chore]) -> None:
        self.staleness = staleness
        self._bus, self._chores = bus, tuple(chores)
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self._done: dict[str, float] = {}
        self._promises: dict[str, Promise] = {}

    @property
    def progress(self) -> tuple[Progress, ...]:
        """How far each chore is; nothing before the start."""
        done = self._done.copy()
        return tuple(
            Progress(c.name, c.every_s, done[c.name]) for c in self._chores if c.name in done
        )

    @property
    def promises(self) -> tuple[Promise, ...]:
        """When each chore will be heard of next; nothing before the start and after the end."""
        return tuple(self._promises.values())

    def also(self, *chores: Chore) -> None:
        """More of them, of who is not known here; before `start`."""
        self._chores = (*self._chores, *chores)

    async def start(self) -> None:
        """Arm the timers of machines, and begin with the chores."""
        await self.staleness.start()
        self._done = dict.fromkeys((c.name for c in self._chores), time.time())
        self._tasks = [asyncio.create_task(self._keep_doing(c), name=c.name) for c in self._chores]

    async def stop(self) -> None:
        """Begin nothing more; returns once no chore is under way."""
        self._ending.set()
        self._promises.clear()
        self.staleness.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=END_S)
            for task in late:
                task.cancel()

    async def _keep_doing(self, chore: Chore) -> None:
        promise = self._promises[chore.name] = Promise(f"the chore {chore.name!r}")
        promise.within(chore.every_s + CHORE_MOST_S)
        while not await self._ends_within(chore.every_s):
            try:
                await self._bus.publish(await asyncio.to_thread(chore.work))
                self._done[chore.name] = time.time()
            except Exception:  # a store that is busy for once must not end it
                log.exception("%s: left for the next time", chore.name)
            promise.within(chore.every_s + CHORE_MOST_S)

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return False
        return True


def clockwork_of(
    store: Store,
    fleet: Fleet,
    bus: Bus,
    witnesses: Sequence[Path],
    failures: FailureFold,
    reports: ReportDesk,
) -> Clockwork:
    """The clockwork of this controller; `witnesses` are files that get every head of the record,
    `failures` those of strangers that wait to be recorded; so do refusals of `reports`.
    """
    chores = (
        Chore("rollouts", ROLLOUT_TICK_S, partial(rollouts.move_on, store)),
        Chore("rotations", HOUSEKEEPING_S, partial(rotation.move_on, store, fleet)),
        Chore("what is over", HOUSEKEEPING_S, partial(say_what_is_over, store)),
        Chore("spent challenges", FORGET_S, partial(forget_spent_challenges, store)),
        Chore("unused evidence", COLLECT_S, partial(forget_unused_evidence, store)),
        Chore("failures", HOUSEKEEPING_S, partial(say_what_strangers_failed, store, failures)),
        Chore("refused reports", HOUSEKEEPING_S, reports.tell_counted),
        Chore("silent reporters", REPORTERS_S, ReportWatch(store).look),
        Chore("incidents", INCIDENTS_S, IncidentFollower(store).follow),
        Chore("heads of the record", HOUSEKEEPING_S, HeadKeeper(store, fleet, witnesses).keep),
    )
    return Clockwork(bus, Staleness(store, fleet, bus), chores)
