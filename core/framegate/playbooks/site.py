"""The fleet as the record tells it, for what playbooks must never do. Out of the record alone, so
that whoever replays it comes to the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.playbooks.sighting import Sighting

GLASS_MS: Final = 3_600_000
"""How long a sealed credential's session lasts."""
_GONE: Final = frozenset({State.RETIRED, State.INVITED})
_HELD: Final = frozenset({State.QUARANTINED, State.PENDING, *_GONE})


def is_last_camera(kind: str, state: str, cameras: Mapping[str, int]) -> bool:
    """Whether holding a machine of this kind and state would take its line's last camera.

    `cameras` is how many of its zone stand in which state, itself included. Of a camera that is
    trusted: no other one is trusted. Of one that is not: every other one is held already, so that
    nothing is left that could prove itself again.
    """
    if kind != Kind.CAMERA:
        return False
    others = Counter(cameras)
    others[state] -= 1
    if state == State.TRUSTED:
        return others[State.TRUSTED] <= 0
    return all(s in _HELD for s, count in others.items() if count > 0)


class Site:
    """Machines, their states, how many stand where, and who broke the glass when."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._glass: dict[str, int] = {}

    def see(self, sighting: Sighting) -> None:
        """Take an entry in."""
        if sighting.device and sighting.state:
            self._move(sighting.device, sighting.state)
        if sighting.event == "break-glass-used" and sighting.operator:
            self._glass[sighting.operator] = sighting.at_ms

    def hold(self, device: str) -> None:
        """As it is going to be: a playbook holds it, though the record does not say so yet."""
        self._move(device, State.QUARANTINED)

    def is_last_camera(self, device: str) -> bool:
        """See `is_last_camera`; a machine that the record does not know is none."""
        kind, zone = device.split(".")[:2]
        counts = self._counts.get((zone, kind), Counter())
        return is_last_camera(kind, self._states.get(device, ""), counts)

    def size(self, zone: str) -> int:
        """How many machines a zone has that have joined."""
        counted = (c for (of, _), c in self._counts.items() if of == zone)
        return sum(n for counts in counted for s, n in counts.items() if s not in _GONE)

    def _move(self, device: str, state: str) -> None:
        kind, zone = device.split(".")[:2]
        counts = self._counts.setdefault((zone, kind), Counter())
        before = self._states.pop(device, "")
        if before:
            counts[before] -= 1
        if state != State.RETIRED:
            self._states[device] = state
            counts[state] += 1

    def broke_glass(self, operator: str, now_ms: int) -> bool:
        """Whether the person's sealed credential may be in use now."""
        return now_ms - self._glass.get(operator, -GLASS_MS) < GLASS_MS
