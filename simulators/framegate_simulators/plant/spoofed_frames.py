"""Frames by which a host speaks as somebody else, and what each is called when it is dropped."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from framegate.segment.refusal import Why
from framegate_simulators.plant.namespaces import Network

OWN, OTHER = "02:00:00:00:01:0b", "02:00:00:00:01:0c"
"""cam1's MAC address and cam2's, in `namespaces.WIRES`."""
_LINK: Final = "fe80::ff:fe00:10b"
_EVERYBODY: Final = "ff:ff:ff:ff:ff:ff"


@dataclass(frozen=True, slots=True)
class Spoof:
    """A frame of cam1's port, and why it has to be dropped."""

    frame: bytes
    why: Why


def send_frame(network: Network, host: str, frame: bytes) -> None:
    """Put a frame on a host's wire as it stands."""
    with network.at(host):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with wire:
        wire.bind(("eth0", 0))
        wire.send(frame)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ip(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _arp(sender: str, address: str, ether: str = "") -> bytes:
    head = _mac(_EVERYBODY) + _mac(ether or sender) + b"\x08\x06"
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + _mac(sender) + _ip(address)
    return head + body + bytes(6) + _ip("10.10.1.1") + bytes(18)


def _icmp6(source: str, kind: int, body: bytes) -> bytes:
    payload = struct.pack("!BBH", kind, 0, 0) + body
    head = struct.pack("!IHBB", 0x60000000, len(payload), 58, 255) + _ip(source) + _ip("ff02::1")
    return _mac("33:33:00:00:00:01") + _mac(OWN) + b"\x86\xdd" + head + payload


def _dhcp() -> bytes:
    udp = struct.pack("!HHHH", 67, 68, 20, 0) + bytes(12)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    sent = head + _ip("10.10.1.11") + _ip("255.255.255.255") + udp
    return _mac(_EVERYBODY) + _mac(OWN) + b"\x08\x00" + sent


def _odd_arp(kind: int, protocol: int = 0x0800) -> bytes:
    """ARP of another hardware, which Linux takes as Ethernet's all the same (IEEE 802)."""
    head = _mac(_EVERYBODY) + _mac(OWN) + b"\x08\x06"
    body = struct.pack("!HHBBH", kind, protocol, 6, 4, 2) + _mac(OWN) + _ip("10.10.1.12")
    return head + body + bytes(6) + _ip("10.10.1.1") + bytes(18)


def _icmp(kind: int) -> bytes:
    payload = struct.pack("!BBH", kind, 1, 0) + _ip("10.10.1.11") + bytes(28)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, 1, 0)
    sent = head + _ip("10.10.1.11") + _ip("10.10.1.1") + payload
    return _mac("02:00:00:00:01:01") + _mac(OWN) + b"\x08\x00" + sent


def _behind(header: int, extension: bytes) -> bytes:
    """A router advertisement, or a part of one, behind an extension header of IPv6."""
    payload = extension + struct.pack("!BBH", 134, 0, 0) + bytes(12)
    head = struct.pack("!IHBB", 0x60000000, len(payload), header, 255) + _ip(_LINK)
    sent = head + _ip("ff02::1") + payload
    return _mac("33:33:00:00:00:01") + _mac(OWN) + b"\x86\xdd" + sent


def _llc() -> bytes:
    """IP in an 802.3 frame with LLC and SNAP, whose type field is a length."""
    inner = b"\xaa\xaa\x03\x00\x00\x00\x08\x00\x45" + bytes(51)
    return _mac("02:00:00:00:01:01") + _mac(OWN) + struct.pack("!H", len(inner)) + inner


def _other(ethertype: int) -> bytes:
    inner = struct.pack("!HH", 1, 0x0800) + b"\x45" + bytes(60)
    return _mac("02:00:00:00:01:01") + _mac(OWN) + struct.pack("!H", ethertype) + inner


SPOOFS: Final[Mapping[str, Spoof]] = MappingProxyType(
    {
        "ARP for another's address": Spoof(_arp(OWN, "10.10.1.12"), Why.ARP),
        "ARP for the router's": Spoof(_arp(OWN, "10.10.1.1"), Why.ARP),
        "ARP with another's MAC": Spoof(_arp(OTHER, "10.10.1.11", OWN), Why.ARP),
        "another's MAC": Spoof(_arp(OTHER, "10.10.1.12"), Why.MAC),
        "a neighbour advertisement": Spoof(
            _icmp6(_LINK, 136, bytes(4) + _ip("fd10:1::12")), Why.NEIGHBOUR
        ),
        "a router advertisement": Spoof(_icmp6(_LINK, 134, bytes(12)), Why.ROUTER),
        "a redirect": Spoof(_icmp6(_LINK, 137, bytes(36)), Why.ROUTER),
        "another's IPv6 address": Spoof(_icmp6("fd10:1::12", 128, bytes(4)), Why.ADDRESS),
        "a DHCP server": Spoof(_dhcp(), Why.DHCP),
        "a gratuitous ARP for another's": Spoof(_arp(OWN, "10.10.1.13"), Why.ARP),
        "ARP of IEEE 802 hardware": Spoof(_odd_arp(6), Why.ARP),
        "ARP of another protocol": Spoof(_odd_arp(1, 0x86DD), Why.ARP),
        "an ICMP redirect": Spoof(_icmp(5), Why.ROUTER),
        "an ICMP router advertisement": Spoof(_icmp(9), Why.ROUTER),
        "an advertisement behind options": Spoof(
            _behind(60, b"\x3a\x00\x01\x04" + bytes(4)), Why.ROUTER
        ),
    }
)
AROUND: Final[Mapping[str, Spoof]] = MappingProxyType(
    {
        name: Spoof(_other(ethertype), Why.ETHERTYPE)
        for name, ethertype in (
            ("a VLAN tag", 0x8100),
            ("two VLAN tags", 0x88A8),
            ("PPPoE", 0x8863),
            ("LLDP", 0x88CC),
            ("a loop test", 0x9000),
            ("an old double tag", 0x9100),
        )
    }
    | {
        "a VLAN tag in a VLAN tag": Spoof(_other(0x8100)[:16] + _other(0x8100)[12:], Why.ETHERTYPE),
        "IP by LLC and SNAP": Spoof(_llc(), Why.ETHERTYPE),
        "a first fragment": Spoof(_behind(44, b"\x3a\x00\x00\x01" + bytes(4)), Why.FRAGMENT),
        "a later fragment": Spoof(_behind(44, b"\x3a\x00\x00\x80" + bytes(4)), Why.FRAGMENT),
        "a routing header": Spoof(_behind(43, b"\x3a\x02\x00\x00" + bytes(20)), Why.FRAGMENT),
    }
)
