"""A flood told in few findings: the first of a kind, device and reason at once, what comes after it
as one count a minute. Nothing is left out of a count, and nobody's flood takes another's room.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from framegate.findings.kinds import MAX_SAID, URGENCY, Finding, FindingKind

WINDOW_MS: Final = 60_000
"""Between two findings of one key: whoever reads them wants to see that it goes on, once a
minute.
"""
MAX_DEVICES: Final = 4_096
"""Devices that are told apart at once: more than a zone has. Those past them are counted together,
by kind (`findings-folded`).
"""


class Key(NamedTuple):
    """What is told apart: never by a text that a stranger chooses."""

    kind: FindingKind
    device: str
    reason: str


@dataclass(slots=True)
class _Window:
    opened_ms: int
    count: int
    first_ms: int
    last_ms: int
    said: str
    told: bool


class Suppression:
    """Sightings in, findings out; deterministic, by the times it is given."""

    def __init__(self, window_ms: int = WINDOW_MS, most_devices: int = MAX_DEVICES) -> None:
        self._window_ms, self._most = window_ms, most_devices
        self._windows: dict[Key, _Window] = {}
        self._devices: dict[str, int] = {}

    def add(self, key: Key, now_ms: int, said: str = "", count: int = 1) -> None:
        """A sighting of `count`. One device too many is folded with others of its kind."""
        window = self._windows.get(key)
        if window is None and not self._room(key):
            key = Key(FindingKind.FOLDED, "", key.kind.value)
            window = self._windows.get(key)
        if window is None:
            if key.device:
                self._devices[key.device] = self._devices.get(key.device, 0) + 1
            text = "".join(c if c.isprintable() else "?" for c in said)[:MAX_SAID]
            self._windows[key] = _Window(now_ms, count, now_ms, now_ms, text, told=False)
            return
        if not window.count:
            window.first_ms = now_ms
        window.count += count
        window.last_ms = max(window.last_ms, now_ms)

    def due(self, now_ms: int) -> list[Finding]:
        """What has to be told now, the most urgent first: keys that are new, and counts of windows
        that are over. A key of which nothing came in its window is forgotten.
        """
        told = list(self._due(now_ms))
        return sorted(told, key=lambda f: (URGENCY[f.kind], f.first_ms, f.device, f.reason))

    def _due(self, now_ms: int) -> Iterator[Finding]:
        for key, window in list(self._windows.items()):
            over = not 0 <= now_ms - window.opened_ms < self._window_ms
            if window.told and not over:
                continue
            if window.count:
                yield Finding(
                    kind=key.kind,
                    device=key.device,
                    reason=key.reason,
                    count=window.count,
                    first_ms=window.first_ms,
                    last_ms=window.last_ms,
                    said=window.said,
                )
                window.count, window.opened_ms, window.told = 0, now_ms, True
            else:
                self._forget(key)

    def _room(self, key: Key) -> bool:
        return not key.device or key.device in self._devices or len(self._devices) < self._most

    def _forget(self, key: Key) -> None:
        del self._windows[key]
        if key.device:
            self._devices[key.device] -= 1
            if not self._devices[key.device]:
                del self._devices[key.device]
