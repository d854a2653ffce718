"""What strangers were refused for, counted by reason and prefix, a minute at a time."""

from __future__ import annotations

from collections import Counter
from typing import Final

from framegate_controller.joinport.limits import MAX_REFUSALS
from framegate_controller.joinport.messages import RefusalReport, RefusedStrangers

OTHERS: Final = "others"
"""Every prefix past those that are told apart."""


class RefusalCount:
    """Counts since the last report."""

    def __init__(self, most: int = MAX_REFUSALS) -> None:
        self._most = most
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, reason: str, prefix: str) -> None:
        """One more."""
        key = reason, prefix
        if key not in self._counts and len(self._counts) >= self._most:
            key = reason, OTHERS
            if key not in self._counts and len(self._counts) >= 2 * self._most:
                key = OTHERS, OTHERS
        self._counts[key] += 1

    def report(self) -> bytes:
        """All of them, as a record, empty where there are none; counting begins anew."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return b""
        refused = tuple(
            RefusedStrangers(reason=reason, prefix=prefix, count=count).marshal()
            for (reason, prefix), count in counts.items()
        )
        return RefusalReport(refused=refused, version=1).marshal()
