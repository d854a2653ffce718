"""Collects the next good frames of a part type, for an operator who wants a golden image of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from framegate.errors import Reason, Refused, Unavailable
from framegate.signed.part import MAX_LESSON, MIN_LESSON

MAX_WAIT_S: Final = 600
"""A line that brings no part in ten minutes is not running."""
MAX_BYTES: Final = 256 * 1024 * 1024
"""Encoded frames held for one lesson."""


class GoldenLearner:
    """One lesson at a time: admitted frames of one part type, whatever their verdict; they live in
    memory until the lesson ends.
    """

    def __init__(self) -> None:
        self._part_type, self._wanted, self._bytes = "", 0, 0
        self._frames: list[bytes] = []
        self._full = asyncio.Event()

    def offer(self, part_type: str, image: bytes) -> None:
        """A frame that was admitted; kept where a lesson wants it."""
        if part_type == self._part_type and len(self._frames) < self._wanted:
            self._frames.append(image)
            self._bytes += len(image)
            if len(self._frames) == self._wanted or self._bytes >= MAX_BYTES:
                self._full.set()

    @asynccontextmanager
    async def lesson(
        self, part_type: str, frames: int, timeout_s: float
    ) -> AsyncIterator[list[bytes]]:
        """The next `frames` frames of `part_type`. Raises Refused (USAGE, CONFLICT), Unavailable
        (TIMEOUT) where too few come.
        """
        if (
            not MIN_LESSON <= frames <= MAX_LESSON
            or not 0 < timeout_s <= MAX_WAIT_S
            or not part_type
        ):
            raise Refused.of(
                Reason.USAGE,
                f"a part type, {MIN_LESSON} to {MAX_LESSON} frames, a wait of at most"
                f" {MAX_WAIT_S} s",
                f"{frames} frames, {timeout_s:g} s",
            )
        if self._part_type:
            raise Refused.of(
                Reason.CONFLICT,
                "one lesson at a time",
                f"one of {ascii(self._part_type)[:60]} is on",
                "wait for it to end",
            )
        self._part_type, self._wanted, self._bytes = part_type, frames, 0
        try:
            try:
                await asyncio.wait_for(self._full.wait(), timeout_s)
            except TimeoutError as error:
                if len(self._frames) < MIN_LESSON:
                    came = f"{len(self._frames)} in {timeout_s:g} s"
                    raise Unavailable.of(
                        Reason.TIMEOUT,
                        f"{frames} frames of {ascii(part_type)[:60]}",
                        came,
                        "does a camera send this part type here?",
                    ) from error
            yield list(self._frames)
        finally:
            self._part_type, self._wanted = "", 0
            self._frames.clear()
            self._full.clear()
