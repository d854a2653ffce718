"""The watchdog is fed by the loops that do the work, not by a timer beside them.

Each of them promises when it will be heard of next. While one promise is broken the service manager
hears nothing, kills the program after its time and starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from framegate_host.service_manager import ServiceManager

log = logging.getLogger(__name__)
SHARE: Final = 4
"""Signs of life within the manager's time: one or two may come late on a busy machine."""
LOOK_S: Final = 5.0
"""How often promises are looked at where nobody waits for a sign of life."""


@dataclass(slots=True)
class Promise:
    """What the loop `name` promised last. In seconds, by a clock that nobody sets."""

    name: str
    clock: Callable[[], float] = time.monotonic
    _due: float | None = field(default=None, init=False)

    def within(self, seconds: float) -> None:
        """The loop will be heard of within `seconds`, again or at its end."""
        self._due = self.clock() + seconds

    def rest(self) -> None:
        """The loop has nothing to do, and waits for somebody else: nothing is promised."""
        self._due = None

    @property
    def late_s(self) -> float:
        """For how long the promise has been broken; 0 where it has not."""
        return 0.0 if self._due is None else max(0.0, self.clock() - self._due)


class Outstanding:
    """Answers that somebody waits for, each promised within `seconds`; it is as late as the oldest.

    For work that goes through other processes: whether they are stuck shows by what they owe.
    """

    def __init__(
        self, name: str, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self._seconds, self._clock = name, seconds, clock
        self._due: dict[object, float] = {}
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """One answer is waited for inside."""
        mine = object()
        self._due[mine] = self._clock() + self._seconds
        self._none.clear()
        try:
            yield
        finally:
            del self._due[mine]
            if not self._due:
                self._none.set()

    async def none(self) -> None:
        """Return once nothing is waited for."""
        await self._none.wait()

    @property
    def late_s(self) -> float:
        """As of `Promise`. The oldest stands first."""
        return max(0.0, self._clock() - next(iter(self._due.values()), self._clock()))


Promises = Callable[[], Iterable[Promise | Outstanding]]
"""The promises of a program's loops at this moment."""


class Watchdog:
    """Tells the service manager that a program is alive, as long as every promise is kept."""

    def __init__(self, manager: ServiceManager, promises: Promises) -> None:
        self._manager, self._promises = manager, promises
        self._told: frozenset[str] = frozenset()

    @property
    def every_s(self) -> float:
        """How often to look."""
        return self._manager.watchdog_s / SHARE or LOOK_S

    def look(self) -> bool:
        """Whether every promise is kept; the manager is told so. A loop that breaks its promise is
        named in the log, once: it is the first thing that somebody asks after a restart.
        """
        late = {promise.name: promise.late_s for promise in self._promises() if promise.late_s}
        for name in late.keys() - self._told:
            log.error(
                "%s stands still: %.0f s over its time; no sign of life goes to the service"
                " manager until it is heard of",
                name,
                late[name],
            )
        for name in self._told - late.keys():
            log.warning("%s goes on", name)
        self._told = frozenset(late)
        if not late:
            self._manager.alive()
        return not late

    async def feed(self) -> None:
        """Look forever. It runs in the loop that the program works in: one that is blocked feeds
        nobody.
        """
        while True:
            self.look()
            await asyncio.sleep(self.every_s)


@contextlib.asynccontextmanager
async def watched_over(manager: ServiceManager, promises: Promises) -> AsyncIterator[None]:
    """Feed the watchdog for as long as the block runs."""
    feeding = asyncio.create_task(Watchdog(manager, promises).feed(), name="watchdog")
    try:
        yield
    finally:
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding
