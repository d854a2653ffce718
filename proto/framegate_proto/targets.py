"""Where a channel goes that may reach any of several controllers."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from framegate.wire import MAX_TEXT

MAX_ADDRESSES: Final = 16
"""Controllers of a store that are named to others; a connection may have to try them all."""
SEPARATOR: Final = ","
_ADDRESS: Final = re.compile(r"[\[\]A-Za-z0-9.:_-]{1,253}:[0-9]{1,5}")
_ANY_ORDER: Final = json.dumps(
    {"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": True}}]}
)


Option = tuple[str, str | int]


class Target(NamedTuple):
    """What gRPC is asked for, and options of the channel."""

    name: str
    options: tuple[Option, ...]


def addresses_of(text: str) -> list[str]:
    """The addresses, host:port, that `text` names: one, or several with commas between."""
    return [a.strip() for a in text.split(SEPARATOR) if a.strip()][:MAX_ADDRESSES]


def known_addresses(own: str, told: str) -> str:
    """The addresses that somebody knows who knew `own` and was `told` others: the first of its own,
    which it came by, then those that it was told; as many as one text has room for. A peer that
    tells none (of an earlier version) changes nothing.
    """
    known, room = list[str](), MAX_TEXT
    for address in dict.fromkeys((*addresses_of(own)[:1], *addresses_of(told))):
        room -= len(address.encode()) + len(SEPARATOR)
        if _ADDRESS.fullmatch(address) and room >= 0 and len(known) < MAX_ADDRESSES:
            known.append(address)
    return SEPARATOR.join(known) if addresses_of(told) and known else own


def target_of(text: str) -> Target:
    """The target of one address, or of several: then the first in any order that answers, and
    another as soon as that one is gone. Names are looked up here; one that is not known is left out
    where others are.
    """
    addresses = addresses_of(text)
    if len(addresses) < 2:
        return Target(text, ())
    endpoints = [endpoint for address in addresses for endpoint in _endpoints(address)]
    if not endpoints:
        return Target(addresses[0], ())  # whoever connects says what is wrong with it
    if all(isinstance(e.host, IPv4Address) for e in endpoints):
        name = "ipv4:" + ",".join(f"{e.host}:{e.port}" for e in endpoints)
    else:
        name = "ipv6:" + ",".join(f"[{_mapped(e.host)}]:{e.port}" for e in endpoints)
    return Target(name, (("grpc.service_config", _ANY_ORDER),))


def secured_target(text: str, server_name: str, *more: Option) -> Target:
    """`target_of`, for a channel over TLS: the server must be `server_name`, no proxy stands
    between, and no other channel, which may bear another's certificate, shares its connection.
    """
    target = target_of(text)
    named: tuple[Option, ...] = (
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )
    return Target(target.name, (*target.options, *named, *more))


class _Endpoint(NamedTuple):
    host: IPv4Address | IPv6Address
    port: int


def _endpoints(address: str) -> Iterator[_Endpoint]:
    host, _, port = address.rpartition(":")
    try:
        known = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return
    for each in dict.fromkeys(entry[4][:2] for entry in known):
        yield _Endpoint(ip_address(str(each[0]).partition("%")[0]), int(each[1]))


def _mapped(host: IPv4Address | IPv6Address) -> str:
    return str(host) if isinstance(host, IPv6Address) else f"::ffff:{host}"
