"""Counts over sliding time: entries of a group, targets of an hour, what is cooling down.

All by the entries' own times, so that a replay counts the same. Each is bounded: who fills the
record fills no memory.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

MAX_GROUPS: Final = 10_000
"""Groups of one window; the one that was quiet for longest is forgotten for a new one."""


class Window:
    """Whether `count` entries of a group came within `window_ms`."""

    def __init__(self, count: int, window_ms: int) -> None:
        self._count, self._window_ms = count, window_ms
        self._groups: OrderedDict[str, deque[int]] = OrderedDict()

    def see(self, group: str, at_ms: int) -> bool:
        """One more; whether it is the last that was missing. Then counting begins anew."""
        times = self._groups.pop(group, None)
        times = deque(maxlen=self._count) if times is None else times
        times.append(at_ms)
        if len(times) == self._count and at_ms - times[0] <= self._window_ms:
            return True
        self._groups[group] = times
        if len(self._groups) > MAX_GROUPS:
            self._groups.popitem(last=False)
        return False


class Cooling:
    """What was answered, and is left alone for a while."""

    def __init__(self, cooldown_ms: int) -> None:
        self._cooldown_ms = cooldown_ms
        self._until: OrderedDict[str, int] = OrderedDict()

    def begin(self, subject: str, at_ms: int) -> None:
        """Leave it alone from now on."""
        self._until.pop(subject, None)
        self._until[subject] = at_ms + self._cooldown_ms
        while self._until and next(iter(self._until.values())) <= at_ms:
            self._until.popitem(last=False)

    def cools(self, subject: str, at_ms: int) -> bool:
        """Whether it is to be left alone."""
        return self._until.get(subject, 0) > at_ms


class Hour:
    """Distinct targets of the last hour."""

    def __init__(self, hour_ms: int) -> None:
        self._hour_ms = hour_ms
        self._last: OrderedDict[str, int] = OrderedDict()

    def add(self, target: str, at_ms: int) -> None:
        """It was touched."""
        self._last.pop(target, None)
        self._last[target] = at_ms

    def has_room(self, target: str, most: int, at_ms: int) -> bool:
        """Whether touching `target` keeps to `most`; what was touched already takes no more."""
        while self._last and next(iter(self._last.values())) <= at_ms - self._hour_ms:
            self._last.popitem(last=False)
        return target in self._last or len(self._last) < most
