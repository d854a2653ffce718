"""What must hold of a segment as a whole, so that its rules mean what its file says."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from framegate.errors import Malformed, Reason
from framegate.segment.policy import Address, Binding, Segment, SegmentZone


def require_consistent(segment: Segment) -> None:
    """That nothing of `segment` has two readings.

    1. an interface, and a bridge port, is of one zone: by it alone a packet's zone is known;
    2. nothing but an adjacent zone has ports, and it has one interface, their bridge, and in its
       bindings MAC addresses; no port is an interface of a zone;
    3. conduits of the same ends and port are one: of two, the wider would hide the narrower;
    4. a binding's zone exists; its port is one of the zone's; a port has one device;
    5. a device, a host, an address and a MAC address is in one binding; a gateway's own address in
       none;
    6. where an end has to be trusted, its zone has devices.

    Raises Malformed (SEGMENT).
    """
    zones = segment.zones.values()
    _each_once("an interface in one zone", [i for z in zones for i in (*z.interfaces, *z.ports)])
    for zone in zones:
        _of_a_zone(zone)  # 2
    _each_once(  # 3
        "one conduit between two zones to one port",
        [(c.source, c.destination, c.transport, c.port) for c in segment.conduits.values()],
    )
    for binding in segment.bindings:
        _of_a_binding(segment, binding)  # 4
    bindings = segment.bindings
    addresses: list[Address] = [a for b in bindings for a in b.addresses]
    _each_once("a port with one binding", [b.port for b in bindings if b.port])
    _each_once("a device or host in one binding", [b.label for b in bindings])  # 5
    _each_once("a MAC address in one binding", [b.mac for b in bindings if b.mac])
    _each_once("an address in one binding", [*addresses, *(a for z in zones for a in z.gateway)])
    with_devices = {b.zone for b in bindings if b.device}
    for conduit in segment.conduits.values():  # 6
        ends = {"from": conduit.source, "to": conduit.destination}
        for end in sorted(conduit.trust):
            if ends[end] not in with_devices:
                wanted = f"conduit {conduit.name}: a device bound in zone {ends[end]}"
                raise _bad(f"{wanted}, which has to be trusted", "none")


def _of_a_zone(zone: SegmentZone) -> None:
    if zone.ports and (not zone.adjacent or len(zone.interfaces) != 1):
        wanted = f"zone {zone.name}: ports of one bridge, whose hosts are adjacent"
        raise _bad(wanted, f"{len(zone.interfaces)} interfaces, adjacent {zone.adjacent}")
    for what, said in (("peers", zone.peers), ("dot1x", zone.dot1x)):
        if said and not zone.ports:
            raise _bad(f"zone {zone.name}: {what} where there are ports", "no ports")


def _of_a_binding(segment: Segment, binding: Binding) -> None:
    zone = segment.zones.get(binding.zone)
    if zone is None:
        raise _bad(f"{binding.label}: a zone, {', '.join(segment.zones)}", binding.zone)
    if binding.port and binding.port not in zone.ports:
        raise _bad(f"{binding.label}: a port of zone {zone.name}", binding.port)
    if zone.adjacent and not binding.mac:
        raise _bad(f"{binding.label}: a MAC address, as its zone is adjacent", "none")
    if zone.ports and not binding.port:
        raise _bad(f"{binding.label}: a port, as its zone's are guarded", "none")


def _each_once(what: str, values: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            raise _bad(what, str(value))
        seen.add(value)


def _bad(expected: str, actual: object) -> Malformed:
    shown = ascii(str(actual))[:80]
    return Malformed.of(Reason.SEGMENT, expected, shown, "framegate segment validate DIR")
