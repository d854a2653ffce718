"""Which set elements a trusted device stands for: names of sets, and keys as the kernel has them.

A key is its fields one after another, each padded to four bytes (NFTA_SET_ELEM_KEY of a
concatenation, include/uapi/linux/netfilter/nf_tables.h).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from framegate.segment.policy import Binding, End, Segment

_MAC_PADDING = b"\0\0"
"""Six bytes become eight."""


class Element(NamedTuple):
    """A key in a set; the set is named after zone, address family and what it holds."""

    set_name: str
    key: bytes


def address_set(zone: str, version: int) -> str:
    """Trusted devices' addresses of a zone, IPv4 or IPv6."""
    return f"t_{zone}{version}"


def source_set(zone: str, version: int) -> str:
    """The same, each with its MAC address, for what comes from an adjacent zone."""
    return f"m_{zone}{version}"


def trusted_zones(segment: Segment) -> tuple[str, ...]:
    """Zones in which somebody has to be trusted for some conduit, in their order."""
    asked = {
        zone
        for conduit in segment.conduits.values()
        for end, zone in ((End.FROM, conduit.source), (End.TO, conduit.destination))
        if end in conduit.trust
    }
    return tuple(name for name in segment.zones if name in asked)


def elements_of(segment: Segment, device: str) -> tuple[Element, ...]:
    """The elements that stand while `device` is trusted; none where it has no binding."""
    binding = segment.named(device) if device else None
    if binding is None or not binding.device or binding.zone not in trusted_zones(segment):
        return ()
    return tuple(_elements(segment, binding))


def every_element(segment: Segment) -> frozenset[Element]:
    """All that could ever stand: whatever else is in a set is somebody else's."""
    return frozenset(e for b in segment.bindings for e in elements_of(segment, b.device))


def _elements(segment: Segment, binding: Binding) -> Iterator[Element]:
    for address in binding.addresses:
        yield Element(address_set(binding.zone, address.version), address.packed)
        if segment.zones[binding.zone].adjacent:
            mac = bytes.fromhex(binding.mac.replace(":", "")) + _MAC_PADDING
            yield Element(source_set(binding.zone, address.version), address.packed + mac)
