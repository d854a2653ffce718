"""Machines that are silent for too long become stale: a timer each, armed by every result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.signed.statement import CLOCK_SLACK_MS
from framegate_controller.context import Fleet
from framegate_controller.events.bus import Bus
from framegate_controller.events.messages import DeviceTrust
from framegate_controller.events.notices import DeviceChanged
from framegate_controller.fleet.devices import change_state
from framegate_controller.store.ports import CONTROLLER, Store, Transaction

log = logging.getLogger(__name__)
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


class Timers(Protocol):
    """One timer for each name."""

    def arm(self, name: str, delay_s: float) -> None:
        """Fire for `name` after `delay_s`; an earlier timer of that name is gone."""

    def armed(self, name: str) -> bool:
        """Whether there is one that has not fired."""

    def stop(self) -> None:
        """Forget them all."""


Fire = Callable[[str], Coroutine[Any, Any, None]]


class LoopTimers:
    """Timers of this process's event loop: they end with it, and are armed out of the store."""

    def __init__(self, fire: Fire) -> None:
        self._fire = fire
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._fired: set[asyncio.Task[None]] = set()

    def arm(self, name: str, delay_s: float) -> None:
        """See `Timers`."""
        if (old := self._timers.pop(name, None)) is not None:
            old.cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(
            max(0.0, delay_s), self._run, name
        )

    def armed(self, name: str) -> bool:
        """See `Timers`."""
        return name in self._timers

    def stop(self) -> None:
        """See `Timers`."""
        for timer in self._timers.values():
            timer.cancel()
        for task in self._fired:
            task.cancel()

    def _run(self, name: str) -> None:
        del self._timers[name]
        task = asyncio.get_running_loop().create_task(self._fire(name))
        self._fired.add(task)
        task.add_done_callback(self._fired.discard)


class Staleness:
    """Arms a timer for every trusted machine, and looks when one fires."""

    def __init__(
        self, store: Store, fleet: Fleet, bus: Bus, timers: Callable[[Fire], Timers] = LoopTimers
    ) -> None:
        self._store, self._fleet, self._bus = store, fleet, bus
        self.timers = timers(self.late)
        self._arming: set[asyncio.Task[None]] = set()
        # of its own: whoever keeps all other threads waiting keeps no silent machine trusted
        self._thread = ThreadPoolExecutor(1, "staleness")

    async def start(self) -> None:
        """Arm the timers of machines that were trusted when the last controller stopped."""
        self._bus.follow(self.heard, self.missed)
        await self._arm_all()

    def missed(self) -> None:
        """Machines may have become trusted of which nothing was heard."""
        task = asyncio.get_running_loop().create_task(self._arm_again())
        self._arming.add(task)
        task.add_done_callback(self._arming.discard)

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

    def stop(self) -> None:
        """Look at nothing more."""
        self.timers.stop()
        for task in self._arming:
            task.cancel()

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

    async def late(self, device: str) -> None:
        """A timer fired. What cannot be looked at now is looked at again."""
        try:
            loop = asyncio.get_running_loop()
            silence = await loop.run_in_executor(self._thread, self._look, device)
            if silence.stale:
                await self._bus.publish((DeviceChanged(device),))
            elif silence.result_ms:  # the timer fired a breath early, or a result came in between
                self.arm(device, silence.result_ms)
        except Exception:
            log.exception("%s: whether it is stale is not known", device)
            self.timers.arm(device, AGAIN_S)

    def _look(self, device: str) -> Silence:
        with self._store.writing() as tx:
            return look(tx, device, self._fleet.timing.stale_ms)

    def _trusted(self) -> list[tuple[str, int]]:
        with self._store.reading() as tx:
            return [(str(device), result_ms) for device, result_ms in tx.devices.results()]
