"""Triggers that a camera's source skipped: seen between two frames that opened, written as ranges.

A range is one leaf, however many triggers it spans, and a camera writes at most one a second: what
comes sooner is joined to the range that waits. So nothing is lost, and nothing is multiplied.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from framegate.signed.receipt import TriggerGap
from framegate_gateway.admission.budget import CameraBudget

log = logging.getLogger(__name__)
MAX_GAP: Final = 1_000
"""Missing triggers that one frame may tell of; a larger jump is a new count, not a gap."""
MAX_SOURCES: Final = 16
"""Sources of one camera whose last trigger is remembered; their names are the camera's own choice,
and the one that was silent longest is forgotten first.
"""
GAP_S: Final = 1.0
"""Between two ranges of one camera."""


@dataclass
class _Camera:
    """What is known of one camera's sources, and the ranges that wait to be written."""

    budget: CameraBudget
    last: OrderedDict[str, int] = field(default_factory=OrderedDict)
    waiting: OrderedDict[str, TriggerGap] = field(default_factory=OrderedDict)
    writer: asyncio.Task[None] | None = None


class TriggerGaps:
    """All cameras' gaps of one gateway process. `write` keeps a range's receipt; it does not
    raise.
    """

    def __init__(self, write: Callable[[TriggerGap], Awaitable[None]]) -> None:
        self._write = write
        self._cameras: dict[str, _Camera] = {}
        self._closing = asyncio.Event()

    def seen(
        self, device: str, source: str, trigger: int, session: bytes, budget: CameraBudget
    ) -> None:
        """A frame of this trigger opened in `session`. Triggers of its source between the last
        frame and this one never came. A count that goes back is a camera that started again.
        """
        camera = self._cameras.setdefault(device, _Camera(budget))
        before = camera.last.pop(source, trigger)
        camera.last[source] = trigger
        if len(camera.last) > MAX_SOURCES:
            camera.last.popitem(last=False)
        if not 1 < trigger - before <= MAX_GAP:
            return
        gap = TriggerGap(
            device, source, before + 1, trigger - 1, trigger - before - 1, session.hex()
        )
        log.warning("%s: %d frames never came", device, gap.count)
        waiting = camera.waiting.get(source)
        if waiting is None and len(camera.waiting) >= MAX_SOURCES:
            return  # of a camera that has too many sources: told in the log alone
        if waiting is None:
            budget.in_flight += 1
            camera.waiting[source] = gap
        else:
            camera.waiting[source] = replace(
                waiting,
                first=min(waiting.first, gap.first),
                last=max(waiting.last, gap.last),
                count=waiting.count + gap.count,
            )
        if camera.writer is None:
            camera.writer = asyncio.get_running_loop().create_task(self._write_all(camera))

    async def close(self) -> None:
        """Write what waits, at once."""
        self._closing.set()
        writers = [c.writer for c in self._cameras.values() if c.writer is not None]
        if writers:
            await asyncio.wait(writers)

    async def _write_all(self, camera: _Camera) -> None:
        try:
            while camera.waiting:
                _, gap = camera.waiting.popitem(last=False)
                try:
                    await self._write(gap)
                except Exception:  # one range is lost, those that come are not
                    log.exception("a gap of %s has no receipt", gap.device)
                finally:
                    camera.budget.in_flight -= 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), GAP_S)
        finally:
            camera.writer = None
