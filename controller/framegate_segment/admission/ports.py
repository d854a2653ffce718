"""Ports that 802.1X opens, to the join port and no further: an element for who hostapd let in, that
nothing but its repeated word keeps, and that a lost carrier ends at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from framegate.errors import FramegateError, Unavailable
from framegate.segment.nft_bridge import admitted_element
from framegate.segment.policy import Segment
from framegate.segment.trusted_sets import Element
from framegate_segment.admission.hostapd import HostapdPort, Station
from framegate_segment.netlink.links import LinkState
from framegate_segment.netlink.set_elements import Life

log = logging.getLogger(__name__)
LIFE_MS: Final = 15_000
"""How long a port stays open that nobody keeps so: of a dead enforcer, or a dead hostapd."""
ASKED_S: Final = 4.0
"""Between two questions whether somebody is still let in."""


class BridgeSets(Protocol):
    """The sets of the bridge's table."""

    def put(self, lives: list[Life]) -> None:
        """Let elements stand for their time from now on."""

    def remove(self, elements: Iterable[Element]) -> None:
        """Take elements out."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A MAC address behind a port, let in or no more, and the identity that it claimed: a
    stranger's word.
    """

    port: str
    mac: str
    admitted: bool
    why: str
    identity: str = ""


class Admissions:
    """The ports of one enforcer. Not for several threads. `tell` hears of each change; `opened`
    is called with a port whose socket is there, `closed` before it goes.
    """

    def __init__(
        self,
        folder: Path,
        own: Path,
        sets: BridgeSets,
        tell: Callable[[Admission], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._own, self._sets = folder, own, sets
        self._tell, self._monotonic = tell, monotonic
        self.opened: Callable[[str, HostapdPort], None] = lambda _port, _socket: None
        self.closed: Callable[[HostapdPort], None] = lambda _socket: None
        self._sockets: dict[str, HostapdPort] = {}
        self._admitted: dict[tuple[str, str], float] = {}
        self._wanted: frozenset[str] = frozenset()
        self._asked_s = float("-inf")

    @property
    def standing(self) -> Mapping[tuple[str, str], float]:
        """Who is let in, by port and MAC address, and when they were last put (monotonic s)."""
        return self._admitted

    def follow(self, segment: Segment | None) -> None:
        """From now on these ports are looked after: those of zones with 802.1X."""
        zones = segment.zones.values() if segment is not None else ()
        self._wanted = frozenset(p for z in zones if z.dot1x for p in z.ports)
        for port, mac in list(self._admitted):
            if port not in self._wanted:
                self._withdraw(port, mac, "policy")
        for port in set(self._sockets) - self._wanted:
            self._let_go(port)

    def tick(self) -> None:
        """Look for ports' sockets that were not there, and ask who is still let in."""
        now = self._monotonic()
        if now - self._asked_s < ASKED_S:
            return
        self._asked_s = now
        for port in sorted(self._wanted):
            try:
                if port not in self._sockets:
                    self._attach(port)
                self._ask(port)
            except Unavailable as error:
                log.warning("port %s: %s", port, error)
                self._let_go(port)

    def read(self, port: str) -> None:
        """What hostapd told of a port."""
        attached = self._sockets.get(port)
        if attached is None:
            return
        try:
            for event in attached.events():
                if event.admitted:
                    self._admit(port, attached.station(event.mac))
                else:
                    self._withdraw(port, event.mac, "logoff")
        except Unavailable as error:
            log.warning("port %s: %s", port, error)
            self._let_go(port)

    def links(self, states: Iterable[LinkState], *, lost: bool = False) -> None:
        """Ports changed: who was behind one without a carrier is let in no more, here and at
        hostapd. Where events were lost everybody begins anew.
        """
        gone = {s.name for s in states if not s.carrier}
        for port, mac in list(self._admitted):
            if lost or port in gone:
                self._withdraw(port, mac, "link")
                self._end(port, mac)

    def put_again(self) -> None:
        """The table was made anew: who is let in stands in it again, for no longer than before."""
        now = self._monotonic()
        for (port, mac), put_s in self._admitted.items():
            left = LIFE_MS - int((now - put_s) * 1000)
            if left > 0:
                self._sets.put([Life(admitted_element(port, mac), left)])

    def close(self) -> None:
        """Let go of the sockets; elements end by their life."""
        for port in list(self._sockets):
            self._let_go(port)

    def _attach(self, port: str) -> None:
        attached = HostapdPort(self._folder / port, self._own / f"hostapd-{port}")
        self._sockets[port] = attached
        self.opened(port, attached)

    def _ask(self, port: str) -> None:
        attached = self._sockets[port]
        there = {s.mac: s for s in attached.stations()}
        for mac in [m for p, m in self._admitted if p == port]:
            if mac not in there:
                self._withdraw(port, mac, "unknown")
        for station in there.values():
            self._admit(port, station)

    def _admit(self, port: str, station: Station | None) -> None:
        if station is None:
            return
        if not station.authorized:
            self._withdraw(port, station.mac, "unauthorized")
            return
        key = (port, station.mac)
        try:
            self._sets.put([Life(admitted_element(*key), LIFE_MS)])
        except FramegateError as error:
            log.error("port %s is not opened for %s: %s", *key, error)
            return
        if key not in self._admitted:
            self._tell(Admission(port, station.mac, True, "802.1x", station.identity))
        self._admitted[key] = self._monotonic()

    def _withdraw(self, port: str, mac: str, why: str) -> None:
        if self._admitted.pop((port, mac), None) is not None:
            self._sets.remove([admitted_element(port, mac)])
            self._tell(Admission(port, mac, False, why))

    def _end(self, port: str, mac: str) -> None:
        attached = self._sockets.get(port)
        if attached is None:
            return
        try:
            attached.end(mac)
        except Unavailable as error:
            log.warning("port %s: %s", port, error)
            self._let_go(port)

    def _let_go(self, port: str) -> None:
        attached = self._sockets.pop(port, None)
        if attached is not None:
            self.closed(attached)
            attached.close()
