"""Logged packets (linux/netfilter/nfnetlink_log.h): which rule told, and of whom.

What a packet says of itself is a stranger's word: addresses and ports are read, and nothing else.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from framegate.errors import FramegateError
from framegate.segment.policy import Address
from framegate.segment.refusal import Told
from framegate_segment.netlink.channel import Channel
from framegate_segment.netlink.codec import (
    ACK,
    REQUEST,
    Message,
    attribute,
    attributes,
    message,
    text_of,
)
from framegate_segment.netlink.namespace import Namespace

_ULOG: Final = 4
_PACKET: Final = _ULOG << 8
_CONFIG: Final = _ULOG << 8 | 1
_BIND: Final = 1  # NFULNL_CFG_CMD_BIND
_COPY_PACKET: Final = 2
_CFG_COMMAND, _CFG_MODE, _CFG_THRESHOLD = 1, 2, 5  # NFULA_CFG_CMD, …_MODE, …_QTHRESH
_HEADER, _IN, _OUT, _PHYSICAL_IN, _HARDWARE, _PAYLOAD, _PREFIX = 1, 4, 5, 6, 8, 9, 10  # NFULA_…
_COPIED: Final = 96
MAX_PACKETS: Final = 1_000
"""Of one read: who floods keeps nobody else waiting for longer."""
_AT_ONCE: Final = struct.pack("!I", 1)
"""Packets that may wait to be told together: none."""
_TCP, _UDP, _ICMP6 = 6, 17, 58
_EXTENSIONS: Final = frozenset({0, 43, 60})
"""Hop-by-hop, routing, destination options (RFC 8200, 4): each says its length in eights."""
_ETHER_IP4, _ETHER_IP6, _ETHER_ARP = 0x0800, 0x86DD, 0x0806


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPacket:
    """A packet that a rule told of. Interfaces are their names, empty where there is none; `port`
    is the destination's, or for an answer the source's, as `tcp/7443`, empty where it has none.
    """

    told: Told
    into: str
    out_of: str
    mac: str
    source: Address | None
    destination: Address | None
    transport: str
    source_port: int
    destination_port: int


class PacketLog:
    """Reads one log group."""

    def __init__(self, group: int, namespace: Namespace) -> None:
        """Raises Unavailable or Refused: another reader has the group."""
        self._namespace = namespace
        with namespace.entered():
            self.channel = Channel(lossy=True)
        self._names: dict[int, str] = {}
        for kind, payload in (
            (_CFG_COMMAND, bytes([_BIND])),
            (_CFG_MODE, struct.pack("!IBB", _COPIED, _COPY_PACKET, 0)),
            (_CFG_THRESHOLD, _AT_ONCE),
        ):
            sequence = self.channel.next_sequence()
            body = attribute(kind, payload)
            asked = message(_CONFIG, REQUEST | ACK, sequence, socket.AF_UNSPEC, body, group)
            self.channel.commit(asked, sequence)

    def read(self) -> list[LoggedPacket]:
        """What was logged since; packets of others' rules in our group are left out."""
        packets: list[LoggedPacket] = []
        self._names.clear()  # interfaces come and go, and their numbers are used again
        while len(packets) < MAX_PACKETS and (events := self.channel.events()):
            for event in events:
                if event.kind == _PACKET:
                    with suppress(FramegateError):
                        packets.append(packet_of(event, self._interface))
        return packets

    def _interface(self, index: int) -> str:
        if index not in self._names:
            with self._namespace.entered():
                self._names[index] = _interface_name(index)
        return self._names[index]

    def close(self) -> None:
        """Let go of the group."""
        self.channel.close()


def packet_of(event: Message, interface_name: Callable[[int], str]) -> LoggedPacket:
    """The packet that a message tells of. Raises Malformed: not of our rules."""
    said = attributes(event.body)
    told = Told.parse(text_of(said.get(_PREFIX, b"")))
    header = said.get(_HEADER, b"")
    ether = struct.unpack_from("!H", header)[0] if len(header) >= 2 else 0
    headers = _headers(ether, said.get(_PAYLOAD, b""))
    index_in = said.get(_PHYSICAL_IN, said.get(_IN, b""))
    return LoggedPacket(
        told=told,
        into=_named(index_in, interface_name),
        out_of=_named(said.get(_OUT, b""), interface_name),
        mac=_mac(said.get(_HARDWARE, b"")),
        source=headers.source,
        destination=headers.destination,
        transport=headers.transport,
        source_port=headers.source_port,
        destination_port=headers.destination_port,
    )


@dataclass(frozen=True, slots=True)
class _Headers:
    source: Address | None = None
    destination: Address | None = None
    transport: str = ""
    source_port: int = 0
    destination_port: int = 0


def _headers(ether: int, packet: bytes) -> _Headers:
    """What the packet's first bytes say; what is cut short says less."""
    if ether == _ETHER_IP4 and len(packet) >= 20:
        start = (packet[0] & 0x0F) * 4
        later = struct.unpack_from("!H", packet, 6)[0] & 0x1FFF
        source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
        return _with_ports(source, destination, packet[9], b"" if later else packet[start:])
    if ether == _ETHER_IP6 and len(packet) >= 40:
        source6, destination6 = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
        protocol, rest = packet[6], packet[40:]
        while protocol in _EXTENSIONS and len(rest) >= 8:
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8 :]
        return _with_ports(source6, destination6, protocol, rest)
    if ether == _ETHER_ARP and len(packet) >= 28:
        return _Headers(IPv4Address(packet[14:18]), IPv4Address(packet[24:28]), "arp")
    return _Headers(transport=f"ethertype {ether:#06x}")


def _with_ports(source: Address, destination: Address, protocol: int, rest: bytes) -> _Headers:
    name = {_TCP: "tcp", _UDP: "udp", _ICMP6: "icmpv6", 1: "icmp"}.get(protocol, str(protocol))
    if protocol in {_TCP, _UDP} and len(rest) >= 4:
        ports = struct.unpack_from("!HH", rest)
        return _Headers(source, destination, name, ports[0], ports[1])
    return _Headers(source, destination, name)


def _named(index: bytes, name: Callable[[int], str]) -> str:
    return name(struct.unpack("!I", index)[0]) if len(index) == 4 else ""


def _interface_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""


def _mac(attribute_bytes: bytes) -> str:
    """nfulnl_msg_packet_hw: a length, two bytes of nothing, the address."""
    if len(attribute_bytes) < 10 or struct.unpack_from("!H", attribute_bytes)[0] != 6:
        return ""
    return attribute_bytes[4:10].hex(":")
