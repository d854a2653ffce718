"""What a program would say again and again: said at once where it is new, and else now and then."""

from __future__ import annotations

import time
from typing import Final

AGAIN_S: Final = 30.0
"""A log that somebody reads while something is broken shows that it still is; one that is read
afterwards has few lines of it.
"""


class Repeated:
    """Decides whether one more of many alike is said. Ask `left_out` before it says something."""

    def __init__(self, again_s: float = AGAIN_S) -> None:
        self._again_s = again_s
        self._said: object = None
        self._said_at = -again_s
        self._since = 0

    def left_out(self, what: object) -> int | None:
        """How many were left out since the last that was said, where `what` is to be said now: it
        is another than that one, or was said long ago. None where it is not to be said.
        """
        now = time.monotonic()
        if what == self._said and now < self._said_at + self._again_s:
            self._since += 1
            return None
        left, self._since = self._since, 0
        self._said, self._said_at = what, now
        return left

    def over(self) -> None:
        """It is well again: what comes next is said at once."""
        self._said, self._since = None, 0


def more_of(count: int) -> str:
    """Words for `count` that were left out."""
    return f" ({count} more like the last one said)" if count else ""
