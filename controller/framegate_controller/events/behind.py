"""What may be told soon after it happened: several together cost listeners and store one look."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from framegate_controller.events.bus import Bus
from framegate_controller.events.notices import Notice

log = logging.getLogger(__name__)
WITHIN_S: Final = 0.1
"""How long the first of them waits: a tenth of a heartbeat, of results that live for minutes."""


class ToldBehind:
    """Publishes notices of a bus that nobody waits for. Of the event loop alone."""

    def __init__(self, bus: Bus, within_s: float = WITHIN_S) -> None:
        self._bus, self._within_s = bus, within_s
        self._waiting: dict[Notice, None] = {}
        self._task: asyncio.Task[None] | None = None

    def tell(self, notice: Notice) -> None:
        """Within so long, once for all that waits by then."""
        self._waiting[notice] = None
        if self._task is None:
            self._task = asyncio.create_task(self._soon(), name="what is told behind its answer")

    async def stop(self) -> None:
        """Tell now what waits, and at once what still comes."""
        self._within_s = 0.0
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._publish()

    async def _soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._within_s)
            await self._publish()
        self._task = None

    async def _publish(self) -> None:
        notices = tuple(self._waiting)
        self._waiting.clear()
        if not notices:
            return
        try:
            await self._bus.publish(notices)
        except Exception:  # everybody was cut off, and comes back for a snapshot
            log.exception("machines whose trust was renewed were not told of")
