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

from framegate.errors import FramegateError
from framegate_controller.clockwork import rollouts, rotation
from framegate_controller.clockwork.controllers import look_around
from framegate_controller.clockwork.housekeeping import (
    EvidenceCollector,
    HeadKeeper,
    forget_spent_challenges,
    give_back_freed,
    say_what_is_over,
    say_what_strangers_failed,
)
from framegate_controller.clockwork.incidents import IncidentFollower
from framegate_controller.clockwork.reporters import ReportWatch
from framegate_controller.clockwork.staleness import Staleness
from framegate_controller.context import Fleet
from framegate_controller.events.bus import Bus
from framegate_controller.events.notices import Notice
from framegate_controller.record.goals import GOALS_S, GoalWatch
from framegate_controller.record.reports import ReportDesk
from framegate_controller.record.tail import RecordTail
from framegate_controller.store.ports import Store
from framegate_controller.store.shared.duties import Duty, Peers
from framegate_controller.store.shared.failures import FailureFold
from framegate_host.panics import ENDS
from framegate_host.repeated import Repeated, more_of
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
FREED_S: Final = 30.0
"""It takes some milliseconds, in which other threads wait for memory."""
COLLECT_S: Final = 30.0
"""Some dozen rows at a time: as many as machines within their share leave behind meanwhile."""
CHORE_MOST_S: Final = 120.0
"""How long one chore may take, a disk that is busy and a record that grew for days included. One
that takes longer stands still, and so does what waits for the store behind it.
"""
REVISION_S: Final = 0.2
"""Between two looks at the store's revision where no chore has anything to tell: gateways are told
it with a heartbeat, each half second.
"""
END_S: Final = 3.0
"""How long the end waits for a chore: longer than any takes, unless a disk is away."""


Work = Callable[[], tuple[Notice, ...]]


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every so many seconds: blocking `work`, which gives what is to be told. A
    `duty` is done by one controller of several at a time.
    """

    name: str
    every_s: float
    work: Work
    duty: bool = False


class Duties:
    """Makes chores of what a fleet needs once, on a store in which only its owner writes."""

    def __init__(self, store: Store, peers: Peers) -> None:
        self.store, self._peers = store, peers

    def chore(self, name: str, every_s: float, make: Callable[[Store], Work]) -> Chore:
        """A chore of whichever controller has the duty `name`; `make` makes who does it, anew each
        time that it comes here.
        """
        duty = Duty(self.store, self._peers, name, make)
        return Chore(name, every_s, partial(_done_here, duty), duty=True)


def _done_here(duty: Duty[Work]) -> tuple[Notice, ...]:
    work = duty.worker()
    return work() if work is not None else ()


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
        self._revision_due_s = 0.0
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
    def duties(self) -> frozenset[str]:
        """Names of the chores that one controller of several does."""
        return frozenset(c.name for c in self._chores if c.duty)

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
        looking = asyncio.create_task(self.staleness.stop())
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=END_S)
            for task in late:
                task.cancel()
        await looking

    async def _keep_doing(self, chore: Chore) -> None:
        promise = self._promises[chore.name] = Promise(f"the chore {chore.name!r}")
        promise.within(chore.every_s + CHORE_MOST_S)
        said = Repeated()
        while not await self._ends_within(chore.every_s):
            try:
                notices = await asyncio.to_thread(chore.work)
                if notices or self._revision_due():
                    await self._bus.publish(notices)
                self._done[chore.name] = time.time()
                said.over()
            except ENDS:
                raise
            except BaseException as error:  # noqa: BLE001 - one bad turn must not end it
                _tell(said, chore.name, error)
            promise.within(chore.every_s + CHORE_MOST_S)

    def _revision_due(self) -> bool:
        """Whether somebody is to look at it; it is theirs then."""
        now_s = time.monotonic()
        due = now_s >= self._revision_due_s
        if due:
            self._revision_due_s = now_s + REVISION_S
        return due

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return False
        return True


def _tell(said: Repeated, chore: str, error: BaseException) -> None:
    """A chore that fails fails at each turn: what is known to happen, a file that is gone, a full
    disk, is told in a line, a fault of ours with where it was; both now and then.
    """
    left_out = said.left_out((type(error), str(error)))
    if left_out is None:
        return
    known = isinstance(error, FramegateError | OSError)
    what, more = str(error) if known else type(error).__name__, more_of(left_out)
    trace = None if known else error
    log.error("%s: left for the next time: %s%s", chore, what, more, exc_info=trace)


def clockwork_of(
    duties: Duties,
    tail: RecordTail,
    fleet: Fleet,
    bus: Bus,
    witnesses: Sequence[Path],
    failures: FailureFold,
    reports: ReportDesk,
) -> Clockwork:
    """The clockwork of this controller; `tail` is of its record, `witnesses` are files that get
    every head of the record, `failures` those of strangers that wait to be recorded; so do refusals
    of `reports`.
    """
    store = duties.store

    def of(work: Callable[[Store], tuple[Notice, ...]]) -> Callable[[Store], Work]:
        return lambda theirs: partial(work, theirs)

    chores = (
        duties.chore("rollouts", ROLLOUT_TICK_S, of(rollouts.move_on)),
        Chore("rotations", HOUSEKEEPING_S, partial(rotation.move_on, store, fleet)),
        Chore("other controllers", HOUSEKEEPING_S, partial(look_around, store, fleet)),
        duties.chore("what is over", HOUSEKEEPING_S, of(say_what_is_over)),
        duties.chore("spent challenges", FORGET_S, of(forget_spent_challenges)),
        duties.chore("unused evidence", COLLECT_S, lambda s: EvidenceCollector(s).collect),
        Chore("freed memory", FREED_S, give_back_freed),
        Chore("failures", HOUSEKEEPING_S, partial(say_what_strangers_failed, store, failures)),
        Chore("refused reports", HOUSEKEEPING_S, reports.tell_counted),
        duties.chore("silent reporters", REPORTERS_S, lambda s: ReportWatch(s).look),
        duties.chore("goals", GOALS_S, lambda s: GoalWatch(s).look),
        duties.chore("incidents", INCIDENTS_S, lambda s: IncidentFollower(s, tail).follow),
        Chore("heads of the record", HOUSEKEEPING_S, HeadKeeper(store, fleet, witnesses).keep),
    )
    return Clockwork(bus, Staleness(store, fleet, bus), chores)
