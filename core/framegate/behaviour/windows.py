"""Windows that slide: over the last so many ms before each deed, wherever the clock's full hours
are. A window that stands still misses what is done half before its border and half behind.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """`least` or more within `within_ms` meet a rule: the last one may be exactly so long after the
    first.
    """

    least: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A deed in a window: its entry, its time, what it weighs."""

    index: int
    at_ms: int
    weight: int


@dataclass(frozen=True, slots=True)
class Met:
    """What met a limit: its first and last entry, and how much it was."""

    first: int
    last: int
    count: int
    limit: Limit


class Window:
    """What one person did of one kind, held against several limits: a short one for bursts, longer
    ones for whoever stays just below it. What met one counts for no other finding.

    Of each limit no more is kept than it takes to meet it, so that nobody fills it.
    """

    __slots__ = ("_kept", "_limits")

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self._limits = limits
        self._kept: tuple[deque[Mark], ...] = tuple(deque() for _ in limits)

    def add(self, mark: Mark) -> Met | None:
        """Count one deed; what it met, the shortest limit first. All windows are empty then."""
        self.keep(mark)
        for met in self.total(mark.at_ms):
            if met is not None and met.count >= met.limit.least:
                self.clear()
                return met
        return None

    def keep(self, mark: Mark) -> None:
        """Count one deed, whatever it meets."""
        for limit, kept in zip(self._limits, self._kept, strict=True):
            kept.append(mark)
            while kept[0].at_ms < mark.at_ms - limit.within_ms or len(kept) > limit.least:
                kept.popleft()  # each weighs one or more: as many as meet it are enough

    def clear(self) -> None:
        """Begin anew."""
        for kept in self._kept:
            kept.clear()

    def total(self, now_ms: int) -> tuple[Met | None, ...]:
        """For each limit what is in its window at `now_ms`; None for nothing."""
        return tuple(
            Met(marks[0].index, marks[-1].index, sum(m.weight for m in marks), limit)
            if (marks := [m for m in kept if m.at_ms >= now_ms - limit.within_ms])
            else None
            for limit, kept in zip(self._limits, self._kept, strict=True)
        )
