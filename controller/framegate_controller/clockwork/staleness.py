"""Machines that are silent for too long become stale: a timer each, armed by every result.

How much later than that is bounded by who writes at the moment, and by nothing else: timers and
looks have a thread of their own, a look goes before all others that wait to write, and machines
that fall silent together are looked at in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.signed.statement import CLOCK_SLACK_MS
from framegate_controller.clockwork.timers import Fire, ThreadTimers, Timers
from framegate_controller.context import Fleet
from framegate_controller.events.bus import Bus
from framegate_controller.events.messages import DeviceTrust
from framegate_controller.events.notices import DeviceChanged
from framegate_controller.fleet.devices import change_state
from framegate_controller.store.ports import CONTROLLER, Store, Transaction

log = logging.getLogger(__name__)
END_S: Final = 3.0
"""How long the end waits for a look: longer than any takes, unless a disk is away."""
AGAIN_S: Final = 1.0
"""After a look that failed: a store that is busy for once leaves no silent machine trusted."""


@dataclass(frozen=True, slots=True)
class Silence:
    """What a look at a machine came to: it was made `stale`, or its last result is of `result_ms`.

    That is 0 where it is not trusted, and so not waited for.
    """

    stale: bool = False
    result_ms: int = 0


def look(tx: Transaction, device: str, stale_ms: int) -> Silence:
    """Make `device` stale where it is trusted and has no result for `stale_ms`, or one of a time
    that is to come: the clock was set back since, and how old the result is nobody knows (N85).
    """
    machine = tx.devices.get(device)
    if machine is None or machine.state != State.TRUSTED:
        return Silence()
    last = machine.standing.result_ms
    ahead = last > tx.now_ms + CLOCK_SLACK_MS
    if last + stale_ms > tx.now_ms and not ahead:
        return Silence(result_ms=last)
    expected = ", expected: in maintenance" if machine.serviced(tx.now_ms) else ""
    why = f"no result for {(tx.now_ms - last) / 1000:.0f} s{expected}"
    if ahead:
        why = "the clock was set back since its last result"
    change_state(tx, machine, Edge.LATE, why=why, by=CONTROLLER)
    return Silence(stale=True)


def thread_timers(fire: Fire) -> Timers:
    """Of this process."""
    return ThreadTimers(fire, "staleness")


class Staleness:
    """Arms a timer for every trusted machine, and looks when one fires."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        bus: Bus,
        timers: Callable[[Fire], Timers] = thread_timers,
    ) -> None:
        self._store, self._fleet, self._bus = store, fleet, bus
        self.timers = timers(self.late)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Arm the timers of machines that were trusted when the last controller stopped."""
        self._loop = asyncio.get_running_loop()
        self._bus.follow(self.heard, self.missed)
        await self._arm_all()

    def missed(self) -> None:
        """Machines may have become trusted of which nothing was heard."""
        self._begin(self._arm_again())

    async def _arm_again(self) -> None:
        while True:
            try:
                await self._arm_all()
            except Exception:
                log.exception("which machines are trusted is not known")
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _arm_all(self) -> None:
        for device, result_ms in await asyncio.to_thread(self._trusted):
            self.arm(device, result_ms)

    async def stop(self) -> None:
        """Look at nothing more; returns once nothing is looked at, or that takes too long."""
        self.timers.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self.timers.ended, END_S)

    def heard(self, trust: DeviceTrust) -> None:
        """A machine changed: where it is trusted, its time runs from its last result."""
        if trust.state == State.TRUSTED:
            self.arm(trust.device, trust.standing.result_ms)

    def arm(self, device: str, result_ms: int) -> None:
        """Look at `device` when a result of `result_ms` is too old; where the clock says that it is
        of a time to come, no later than for one of now.
        """
        stale_ms = self._fleet.timing.stale_ms
        due_ms = result_ms + stale_ms - self._fleet.clock()
        self.timers.arm(device, min(due_ms, stale_ms) / 1000)

    def late(self, devices: Sequence[str]) -> None:
        """Timers fired. What cannot be looked at now is looked at again; where that is so of some,
        each is looked at by itself, so that none keeps another trusted. In the timers' thread.
        """
        try:
            silences = self._look(devices)
        except Exception:
            if len(devices) > 1:
                for device in devices:
                    self.late((device,))
                return
            log.exception("%s: whether it is stale is not known", devices[0])
            self.timers.arm(devices[0], AGAIN_S)
            return
        for device, silence in zip(devices, silences, strict=True):
            if silence.result_ms:  # a timer fired a breath early, or a result came in between
                self.arm(device, silence.result_ms)
        stale = [d for d, silence in zip(devices, silences, strict=True) if silence.stale]
        if stale and self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_telling, stale)

    def _begin_telling(self, stale: Sequence[str]) -> None:
        self._begin(self._tell(stale))

    async def _tell(self, stale: Sequence[str]) -> None:
        try:
            await self._bus.publish(tuple(map(DeviceChanged, stale)))
        except Exception:  # everybody was cut off, and comes back for a snapshot
            log.exception("%s: that it is stale was not told", ", ".join(stale))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look(self, devices: Sequence[str]) -> Sequence[Silence]:
        stale_ms = self._fleet.timing.stale_ms
        with self._store.writing(first=True) as tx:
            return [look(tx, device, stale_ms) for device in devices]

    def _trusted(self) -> list[tuple[str, int]]:
        with self._store.reading() as tx:
            return [(str(device), result_ms) for device, result_ms in tx.devices.results()]
