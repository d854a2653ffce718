"""What a segment's policy says, once it was read: values, no behaviour but look-ups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

Address = IPv4Address | IPv6Address
FILE: Final = "segments.toml"
"""Its name in the folder of the access policy, with which it is signed and approved."""


class Mode(StrEnum):
    """How far a zone or a conduit is enforced. Staged is enforcing with another verdict at the end:
    the same look-ups, counted, and let through.
    """

    OBSERVE = "observe"
    STAGE = "stage"
    ENFORCE = "enforce"


class End(StrEnum):
    """An end of a conduit."""

    FROM = "from"
    TO = "to"


class Transport(StrEnum):
    """What a conduit carries."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentZone:
    """What is behind these interfaces of an enforcer, and behind no others.

    `adjacent`: its hosts are on the link itself, so that their MAC addresses are seen; `ports` are
    then the bridge ports that are guarded, and `gateway` the enforcer's own addresses there, which
    nobody else may claim. `peers`: whether hosts of one bridge may speak to each other. `dot1x`:
    whether a port is closed until 802.1X opened it for who is behind it.
    """

    name: str
    interfaces: tuple[str, ...]
    mode: Mode
    adjacent: bool
    ports: tuple[str, ...]
    gateway: tuple[Address, ...]
    peers: bool
    dot1x: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduit:
    """What may pass from one zone to another: connections to one port, and the answers to them.

    `trust` says which ends have to be devices that are trusted at that moment; where neither has
    to, the conduit is join-only.
    """

    name: str
    source: str
    destination: str
    transport: Transport
    port: int
    trust: frozenset[End]
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Who has which addresses in a zone: a device of the fleet by its id, or another host, which
    nobody attests, by a name. `mac` and `port` are empty where they are not bound.
    """

    zone: str
    device: str
    host: str
    mac: str
    port: str
    addresses: tuple[Address, ...]

    @property
    def label(self) -> str:
        """Who it is, for people."""
        return self.device or self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The segment whose trust is that of the fleet's zone `name`. `life_s`: how long an element
    stands without being renewed, in seconds.
    """

    name: str
    life_s: int
    zones: Mapping[str, SegmentZone]
    conduits: Mapping[str, Conduit]
    bindings: tuple[Binding, ...]

    def bound(self, address: Address) -> Binding | None:
        """Who has `address`; None where nobody was given it."""
        return next((b for b in self.bindings if address in b.addresses), None)

    def named(self, label: str) -> Binding | None:
        """The binding of a device or a host."""
        return next((b for b in self.bindings if b.label == label), None)

    def between(self, source: str, destination: str) -> Mode:
        """How far what no conduit carries is enforced between two zones: as far as the stricter of
        the two is.
        """
        order = list(Mode)
        return max((self.zones[source].mode, self.zones[destination].mode), key=order.index)
