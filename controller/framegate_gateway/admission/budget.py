"""What one camera may ask of a gateway, over all its conversations: frames on the way, and answers
that cost a signature and a receipt though nothing was inspected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

MAX_IN_FLIGHT: Final = 64
"""Frames and gaps of one camera between admission and receipt: four sources of sixteen; one frame
more is UNINSPECTED at once.
"""
REFUSALS_S: Final = 64.0
"""Refused frames that are answered, a second: a camera of sixty frames of which none is good. More
are counted alone, and their parts divert by their deadline.
"""
REFUSALS_AT_ONCE: Final = 256


class CameraBudget:
    """One camera's; `in_flight` is raised and lowered by whoever works for it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.in_flight = 0
        self._left, self._at_s = float(REFUSALS_AT_ONCE), monotonic()

    @property
    def full(self) -> bool:
        """Whether another frame would be one too many."""
        return self.in_flight >= MAX_IN_FLIGHT

    def spend_refusal(self) -> bool:
        """Take one answer without inspection; False where there is none left now."""
        now = self._monotonic()
        self._left = min(REFUSALS_AT_ONCE, self._left + (now - self._at_s) * REFUSALS_S)
        self._at_s = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
