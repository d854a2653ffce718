"""What limits count strangers by: whoever has one IPv6 address has the 2^64 beside it."""

from __future__ import annotations

import ipaddress
import urllib.parse
from typing import Final

NETWORK_BITS: Final = 64
"""Of an IPv6 address: what a provider, or a router, gives to one customer or one segment at least
(RFC 6177, RFC 7421).
"""
MAX_NAME: Final = 64
"""Characters of a peer that has no IP address."""


def prefix_of(peer: str) -> str:
    """The IPv4 address or IPv6 /64 of gRPC's name of a peer, without its port or with it.

    An IPv4 address mapped into IPv6 is that IPv4 address. What is no IP address counts as it is.
    """
    try:
        address = address_of(split_peer(peer)[0])
    except ValueError:
        return peer[:MAX_NAME]
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, NETWORK_BITS), strict=False))
    return str(address)


def split_peer(peer: str) -> tuple[str, str]:
    """Host and port, as texts, of gRPC's name of a peer; no port where it has none."""
    text = urllib.parse.unquote(peer).removeprefix("ipv4:").removeprefix("ipv6:")
    host, port = text, ""
    if text.count(":") == 1 or "]:" in text:
        host, _, port = text.rpartition(":")
    return host.strip("[]"), port


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that `host` is, whatever interface it names; one that is mapped into IPv6 is that
    IPv4 address. Raises ValueError where it is none.
    """
    address = ipaddress.ip_address(host.split("%", 1)[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def is_prefix(text: str) -> bool:
    """Whether it is an IPv4 address or IPv6 /64, as `prefix_of` writes them."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return False
    bits = NETWORK_BITS if network.version == 6 else network.max_prefixlen
    return network.prefixlen == bits and text in {str(network), str(network.network_address)}
