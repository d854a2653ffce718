"""Port bindings as nftables rules on a bridge (table `bridge framegate`): who sits behind a port
speaks as itself, and as nobody else.

Stateless: a bridge has no connection tracking here, and sees each frame before any rule above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from framegate.segment.nft import TABLE, braced, log_of, none_of, quoted
from framegate.segment.policy import Address, Binding, Mode, Segment, SegmentZone
from framegate.segment.refusal import NO_CONDUIT, VERDICTS, Told, Why
from framegate.segment.trusted_sets import Element

_END: Final = {Mode.ENFORCE: "drop", Mode.STAGE: "accept", Mode.OBSERVE: "accept"}
_LOG_RATE: Final = "limit rate 100/second burst 200 packets"
_EAPOL: Final = "0x888e"
"""IEEE 802.1X: how a port asks to be opened, so it passes before anything else."""
_NOBODY: Final = IPv4Address(0)
"""Who has no address yet."""
ADMITTED: Final = "admitted"
"""The set of MAC addresses that 802.1X let in, each with its port."""
MAX_ADMITTED: Final = 4_096
_IFNAME: Final = 16
"""IFNAMSIZ: an interface's name as a key has it, filled up with zeros."""
_RAW: Final = -300
"""Before everything that looks at a frame."""


def bridge_rules_of(segment: Segment) -> str:
    """The table as `nft -f` takes it; empty where no zone has ports."""
    zones = [z for z in segment.zones.values() if z.ports]
    if not zones:
        return ""
    ports = [p for z in zones for p in z.ports]
    lines = [
        f"add table bridge {TABLE}",
        f"add chain bridge {TABLE} prerouting "
        f"{{ type filter hook prerouting priority {_RAW}; policy accept; }}",
        f"add chain bridge {TABLE} forward "
        "{ type filter hook forward priority filter; policy accept; }",
        *(_admitted_set() if any(z.dot1x for z in zones) else ()),
        *(f"add chain bridge {TABLE} p_{port}" for port in ports),
        f"flush table bridge {TABLE}",
    ]
    lines += [f"add rule bridge {TABLE} prerouting {r}" for r in _at_the_bridges(zones)]
    for zone in zones:
        lines += [f"add rule bridge {TABLE} forward {r}" for r in _between_peers(zone)]
        for port in zone.ports:
            rules = _at_a_port(segment, zone, port)
            lines += [f"add rule bridge {TABLE} p_{port} {r}" for r in rules]
    return "\n".join(lines) + "\n"


def _admitted_set() -> tuple[str]:
    """Who 802.1X opened a port for: the port with the MAC address, for a while."""
    kind = "type ifname . ether_addr; flags timeout;"
    return (f"add set bridge {TABLE} {ADMITTED} {{ {kind} size {MAX_ADMITTED}; }}",)


def admitted_element(port: str, mac: str) -> Element:
    """The element of `ADMITTED` for a MAC address behind a port."""
    name = port.encode().ljust(_IFNAME, b"\0")
    return Element(ADMITTED, name + bytes.fromhex(mac.replace(":", "")) + b"\0\0")


def link_local(mac: str) -> Address:
    """The address that a host makes of its MAC address (RFC 4291, Appendix A)."""
    raw = bytearray.fromhex(mac.replace(":", ""))
    raw[0] ^= 0x02
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes(raw[:3]) + b"\xff\xfe" + bytes(raw[3:]))


def _at_the_bridges(zones: Sequence[SegmentZone]) -> Iterator[str]:
    """Every bridge port of the host is one of a zone, or closed: the expression that tells bridges
    apart here (nft_meta_bridge) is not in every kernel.
    """
    yield f"ether type {_EAPOL} accept"
    yield from (f'iifname "{p}" goto p_{p}' for z in zones for p in z.ports)
    strictest = max(zones, key=lambda z: list(Mode).index(z.mode))
    yield from _refuse(strictest, "", NO_CONDUIT, Why.UNKNOWN_PORT)


def _between_peers(zone: SegmentZone) -> Iterator[str]:
    if not zone.peers:
        both = f"iifname {quoted(zone.ports)} oifname {quoted(zone.ports)}"
        # asked of all, meant for the router: every neighbour search is, and is nothing to tell of
        yield f"{both} meta pkttype {{ broadcast, multicast }} {_END[zone.mode]}"
        yield from _refuse(zone, both, zone.interfaces[0], Why.PEERS)


def _at_a_port(segment: Segment, zone: SegmentZone, port: str) -> Iterator[str]:
    """In this order: whether the port is open, what no device may send, who it says it is. A rule
    on a field of ARP is one on Ethernet's ARP: whatever else calls itself ARP goes first.
    """
    if zone.dot1x:
        shut = f"iifname . ether saddr != @{ADMITTED}"
        yield from _refuse(zone, shut, port, Why.UNADMITTED)
    yield from _refuse(zone, none_of("ether type", ("arp", "ip", "ip6")), port, Why.ETHERTYPE)
    for field, sound in (("htype", "1"), ("ptype", "ip"), ("hlen", "6"), ("plen", "4")):
        yield from _refuse(zone, f"ether type arp arp {field} != {sound}", port, Why.ARP)
    for header in ("frag", "rt"):  # what comes after it may stand in a packet of its own (RFC 7113)
        yield from _refuse(zone, f"exthdr {header} exists", port, Why.FRAGMENT)
    for router in (
        "icmpv6 type { nd-router-advert, nd-redirect }",
        "icmp type { redirect, router-advertisement }",
    ):
        yield from _refuse(zone, router, port, Why.ROUTER)
    yield from _refuse(zone, "udp sport 67", port, Why.DHCP)
    yield from _refuse(zone, "udp sport 547", port, Why.DHCP)
    binding = next((b for b in segment.bindings if b.port == port), None)
    yield from (_of_a_stranger(segment, zone, port) if binding is None else _of(zone, binding))
    yield "accept"


def _of(zone: SegmentZone, binding: Binding) -> Iterator[str]:
    """The bound device alone: its MAC address, and its own addresses in ARP, IP and neighbour
    discovery. Where it has none yet it may ask whether one is free, and for a lease.
    """
    port, mac = binding.port, binding.mac
    fours = [a for a in binding.addresses if a.version == 4]
    sixes = [*(a for a in binding.addresses if a.version == 6), link_local(mac)]
    yield from _refuse(zone, f"ether saddr != {mac}", port, Why.MAC)
    yield from _refuse(zone, f"arp saddr ether != {mac}", port, Why.ARP)
    probe = [*fours, _NOBODY]
    yield from _refuse(zone, none_of("arp saddr ip", probe), port, Why.ARP)
    lease = f"ip saddr {_NOBODY} ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept"
    yield lease
    yield from _refuse(zone, none_of("ip saddr", fours or [_NOBODY]), port, Why.ADDRESS)
    yield from _refuse(zone, none_of("ip6 saddr", [*sixes, "::"]), port, Why.ADDRESS)
    others = none_of("@th,64,128", (_number(a) for a in sixes))
    yield from _refuse(zone, f"icmpv6 type nd-neighbor-advert {others}", port, Why.NEIGHBOUR)


def _of_a_stranger(segment: Segment, zone: SegmentZone, port: str) -> Iterator[str]:
    """Nobody is bound to the port: whoever is there may be anybody but somebody who is known."""
    bindings = [b for b in segment.bindings if b.zone == zone.name]
    macs = [b.mac for b in bindings if b.mac]
    known = [*(a for b in bindings for a in b.addresses), *zone.gateway]
    fours = [a for a in known if a.version == 4]
    sixes = [*(a for a in known if a.version == 6), *(link_local(m) for m in macs)]
    if macs:
        yield from _refuse(zone, f"ether saddr {braced(macs)}", port, Why.MAC)
        yield from _refuse(zone, f"arp saddr ether {braced(macs)}", port, Why.ARP)
    if fours:
        yield from _refuse(zone, f"arp saddr ip {braced(fours)}", port, Why.ARP)
        yield from _refuse(zone, f"ip saddr {braced(fours)}", port, Why.ADDRESS)
    if sixes:
        yield from _refuse(zone, f"ip6 saddr {braced(sixes)}", port, Why.ADDRESS)
        targets = braced(_number(a) for a in sixes)
        neighbour = f"icmpv6 type nd-neighbor-advert @th,64,128 {targets}"
        yield from _refuse(zone, neighbour, port, Why.NEIGHBOUR)


def _refuse(zone: SegmentZone, match: str, where: str, why: Why) -> Iterator[str]:
    yield f"{match} {_LOG_RATE} {log_of(Told(VERDICTS[zone.mode], where, why))}"
    if zone.mode is Mode.ENFORCE:
        yield f"{match} counter drop"
    else:
        yield f"{match} counter"


def _number(address: Address) -> str:
    """As raw payload is compared."""
    return f"0x{int(address):032x}"
