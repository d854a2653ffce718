"""Whether the record grew, found out once for everybody who waits for that.

Other controllers write into the same record, so that what this one committed is not enough: while
somebody waits, the size is looked at, which costs the store less than one question of one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from framegate.errors import FramegateError

LOOK_S: Final = 0.1
"""Between two looks: nobody who reads a page sees a tenth of a second."""


class RecordGrowth:
    """The record's size as it was seen last. Of the event loop alone."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._read, self.size = size, 0
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None
        self._grown = asyncio.Condition()

    async def beyond(self, seen: int, within_s: float) -> int:
        """The size once it is more than `seen`, or what it is after `within_s`."""
        self._waiting += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            # wait_for would swallow a cancellation that comes with the growth (before Python 3.12)
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s), self._grown:
                    await self._grown.wait_for(lambda: self.size > seen)
            return self.size
        finally:
            self._waiting -= 1

    async def _look(self) -> None:
        while self._waiting:
            # a store that is away is told to whoever asks it for entries
            with suppress(FramegateError):
                size = await asyncio.to_thread(self._read)
                if size != self.size:
                    async with self._grown:
                        self.size = size
                        self._grown.notify_all()
            await asyncio.sleep(LOOK_S)
