"""Whether the ports of this network namespace have a carrier: the kernel's events of its links
(linux/rtnetlink.h, RTNLGRP_LINK).
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from framegate.errors import Reason, Unavailable
from framegate_segment.netlink.codec import attributes, text_of

_NETLINK_ROUTE: Final = 0
_GROUP_LINK: Final = 1
_NEW, _DELETED = 16, 17  # RTM_NEWLINK, RTM_DELLINK
_HEAD: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_LOWER_UP: Final = 0x10000  # IFF_LOWER_UP
_NAME: Final = 3  # IFLA_IFNAME
READ_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class LinkState:
    """An interface, and whether there is somebody at the other end of its wire."""

    name: str
    carrier: bool


class LinkEvents:
    """Events of links. `lost` becomes true where the kernel had to leave some out."""

    def __init__(self) -> None:
        """Raises Unavailable."""
        try:
            self.socket = socket.socket(
                socket.AF_NETLINK,
                socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
                _NETLINK_ROUTE,
            )
            self.socket.bind((0, _GROUP_LINK))
        except OSError as error:
            wanted = "the kernel's events of links"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, error.strerror or error) from error
        self.lost = False

    def read(self) -> list[LinkState]:
        """What changed since."""
        states: list[LinkState] = []
        while True:
            try:
                states += links_in(raw_messages(self.socket.recv(READ_BYTES)))
            except BlockingIOError:
                return states
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost = True

    def close(self) -> None:
        """Let go of it."""
        self.socket.close()


@dataclass(frozen=True, slots=True)
class LinkMessage:
    """A message of rtnetlink: its kind, and what comes after its head."""

    kind: int
    body: bytes


def raw_messages(data: bytes) -> Iterator[LinkMessage]:
    """The messages in `data`; what is cut ends them."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if not 16 <= length <= len(data) - at:
            return
        yield LinkMessage(kind, data[at + 16 : at + length])
        at += (length + 3) & ~3


def links_in(told: Iterable[LinkMessage]) -> Iterator[LinkState]:
    """What messages say of links. Raises Malformed where attributes are no such."""
    for one in told:
        if one.kind not in {_NEW, _DELETED} or len(one.body) < _HEAD.size:
            continue
        flags = _HEAD.unpack_from(one.body)[3]
        name = text_of(attributes(one.body[_HEAD.size :]).get(_NAME, b""))
        if name:
            yield LinkState(name, one.kind == _NEW and bool(flags & _LOWER_UP))
