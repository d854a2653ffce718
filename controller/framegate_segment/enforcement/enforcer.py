"""Keeps the kernel's sets as trust is: who is trusted stands for a while and is renewed, who is not
any more is cut at once, and whatever somebody else changed is put right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from framegate.errors import FramegateError
from framegate.segment.nft import rules_of
from framegate.segment.nft_bridge import bridge_rules_of
from framegate.segment.policy import Segment
from framegate.segment.ruling import TRUSTED
from framegate.segment.trusted_sets import (
    Element,
    address_set,
    elements_of,
    every_element,
    source_set,
    trusted_zones,
)
from framegate_segment.enforcement.kernel import PacketFilter
from framegate_segment.netlink.set_elements import Life

RESET_S: Final = 0.01
"""Between taking an element out and ending its connections: what is sent meanwhile is refused, and
answered with a reset, which an ended connection would not be.
"""
AT_ONCE: Final = 1_000
"""Elements renewed in one go: ten thousand would hold the packet filter for a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A device's trust: its state, and until when it stands (monotonic seconds)."""

    state: str
    ends_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A device that was cut: why, how long the removal took, how long it took until the kernel's
    own tables showed that nothing is left, and what was left.
    """

    device: str
    why: str
    elements: int
    connections: int
    removal_ms: float
    verified_ms: float
    left: int


@dataclass(slots=True)
class _Pending:
    """A device whose elements are gone and whose connections are to be."""

    device: str
    why: str
    elements: tuple[Element, ...]
    heard_s: float
    removed_s: float


class Enforcer:
    """One segment. Not for several threads. `monotonic` is the clock."""

    def __init__(
        self, kernel: PacketFilter, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._kernel, self._monotonic = kernel, monotonic
        self._standings: dict[str, Standing] = {}
        self._told = False
        self._pending: list[_Pending] = []
        self._renewed_at_s: dict[str, float] = {}
        self.segment: Segment | None = None
        self.cut_begun: Callable[[], None] = lambda: None
        """Called once somebody's elements are out: `finish` is due soon."""

    @property
    def standings(self) -> Mapping[str, Standing]:
        """Who stands how, as was last told."""
        return self._standings

    def enforce(self, segment: Segment) -> None:
        """From now on `segment` holds. Elements that it does not know are taken out first: no rule
        of it meets an element of another. Raises Refused, Unavailable; then what held holds on.
        """
        before, self.segment = self.segment, segment
        try:
            if before is not None:
                gone = every_element(before) - every_element(segment)
                self._kernel.remove(gone)
            self._kernel.install(rules_of(segment) + bridge_rules_of(segment))
        except FramegateError:
            self.segment = before
            raise
        self.reconcile()

    def reconcile(self) -> None:
        """Hold the sets against trust: whatever stands there for nobody is taken out, and who is
        trusted stands. Elements of a process before this one live on, and no longer than they had.
        """
        segment = self.segment
        if segment is None:
            return
        standing = self._standing_now(segment)
        self._kernel.remove(standing - every_element(segment))
        # as long as nobody told us anything, theirs is the life that they have left
        if self._told:
            self._cut_untrusted(segment, standing, self._monotonic())
        self._renew([d for d in self._standings if self._trusted(d)])

    def _standing_now(self, segment: Segment) -> frozenset[Element]:
        return frozenset(e for name in set_names(segment) for e in self._kernel.standing(name))

    def _cut_untrusted(
        self, segment: Segment, standing: frozenset[Element], heard_s: float, why: str = ""
    ) -> None:
        """Of a process before this one, too, of which this one remembers nothing."""
        for device in (b.device for b in segment.bindings if b.device):
            if not self._trusted(device) and standing.intersection(elements_of(segment, device)):
                self._cut(device, why or self._state(device), heard_s)

    def replace(self, standings: Mapping[str, Standing]) -> None:
        """A snapshot: whoever is not in it is not trusted."""
        self._told, heard = True, self._monotonic()
        gone = [d for d in self._renewed_at_s if d not in standings]
        for device in gone:
            self._cut(device, "not in the fleet any more", heard)
        known = {d for d in standings if d in self._standings}
        self._standings = {d: s for d, s in self._standings.items() if d in known}
        self.update(standings, heard)
        self.reconcile()

    def update(self, standings: Mapping[str, Standing], heard_s: float | None = None) -> None:
        """Changes. Cuts come before anything else, each by itself."""
        heard = self._monotonic() if heard_s is None else heard_s
        fresh: list[str] = []
        for device, standing in standings.items():
            self._standings[device] = standing
            if self._trusted(device):
                fresh.append(device)
            elif device in self._renewed_at_s:
                self._cut(device, standing.state, heard)
        self._renew(fresh)

    def renew(self) -> None:
        """Give whoever is trusted their life again where a third of it is over: an element that
        nobody renews ends by itself.
        """
        segment, now = self.segment, self._monotonic()
        if segment is None:
            return
        due = [
            d
            for d in self._standings
            if self._trusted(d)
            and now - self._renewed_at_s.get(d, float("-inf")) >= segment.life_s / 3
        ]
        self._renew(due[:AT_ONCE])

    def close_all(self, why: str) -> None:
        """Nobody is trusted any more: the controller is not one to believe. What stands of a
        process before this one is cut with the rest.
        """
        self._told, heard = True, self._monotonic()
        for device in list(self._renewed_at_s):
            self._cut(device, why, heard)
        self._standings.clear()
        if self.segment is not None:
            self._cut_untrusted(self.segment, self._standing_now(self.segment), heard, why)

    def finish(self) -> list[Cut]:
        """End connections of who was cut `RESET_S` ago or earlier, and read both tables back: what
        the kernel shows is what is told. Raises Refused.
        """
        now = self._monotonic()
        due = [p for p in self._pending if now - p.removed_s >= RESET_S]
        self._pending = [p for p in self._pending if p not in due]
        return [self._finish(p) for p in due]

    @property
    def next_finish_s(self) -> float | None:
        """Seconds until `finish` has something to do; None where nobody was cut."""
        if not self._pending:
            return None
        first = min(p.removed_s for p in self._pending)
        return max(0.0, first + RESET_S - self._monotonic())

    def _finish(self, pending: _Pending) -> Cut:
        addresses = self._addresses(pending.elements)
        connections = [] if self._trusted(pending.device) else self._kernel.connections(addresses)
        ended = self._kernel.end(connections)
        left = 0
        if not self._trusted(pending.device):  # who is trusted again meanwhile stands again
            standing = {
                e
                for name in {e.set_name for e in pending.elements}
                for e in self._kernel.standing(name)
            }
            left = len(standing & set(pending.elements))
            left += len(self._kernel.connections(addresses))
        now = self._monotonic()
        return Cut(
            device=pending.device,
            why=pending.why,
            elements=len(pending.elements),
            connections=ended,
            removal_ms=(pending.removed_s - pending.heard_s) * 1000,
            verified_ms=(now - pending.heard_s) * 1000,
            left=left,
        )

    def _cut(self, device: str, why: str, heard_s: float) -> None:
        elements = elements_of(self.segment, device) if self.segment is not None else ()
        self._renewed_at_s.pop(device, None)
        if elements:
            self._kernel.remove(elements)
            removed = self._monotonic()
            self._pending.append(_Pending(device, why, elements, heard_s, removed))
            self.cut_begun()

    def _renew(self, devices: Sequence[str]) -> None:
        segment, now = self.segment, self._monotonic()
        if segment is None:
            return
        lives = [
            Life(element, self._left_ms(device, segment, now))
            for device in devices
            for element in elements_of(segment, device)
        ]
        if lives:
            self._kernel.put(lives)
        self._renewed_at_s.update(dict.fromkeys(devices, now))

    def _left_ms(self, device: str, segment: Segment, now_s: float) -> int:
        """An element never outlives the proof behind it."""
        left = self._standings[device].ends_at_s - now_s
        return int(min(left, float(segment.life_s)) * 1000)

    def _state(self, device: str) -> str:
        standing = self._standings.get(device)
        return standing.state if standing is not None else "not in the fleet"

    def _trusted(self, device: str) -> bool:
        standing = self._standings.get(device)
        return (
            standing is not None
            and standing.state == TRUSTED
            and standing.ends_at_s > self._monotonic()
        )

    def _addresses(self, elements: Iterable[Element]) -> frozenset[bytes]:
        widths = {4: 4, 6: 16}
        return frozenset(e.key[: widths[int(e.set_name[-1])]] for e in elements)


def set_names(segment: Segment) -> tuple[str, ...]:
    """Every set that `segment` has."""
    names: list[str] = []
    for zone in trusted_zones(segment):
        for version in (4, 6):
            names.append(address_set(zone, version))
            if segment.zones[zone].adjacent:
                names.append(source_set(zone, version))
    return tuple(names)
