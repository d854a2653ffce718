"""The kernel's table of connections: which concern an address, and ending them
(linux/netfilter/nfnetlink_conntrack.h).
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from framegate_segment.netlink.channel import Channel, KernelRefused
from framegate_segment.netlink.codec import (
    ACK,
    DUMP,
    REQUEST,
    Message,
    attribute,
    attributes,
    message,
)

_CTNETLINK: Final = 1
_GET: Final = _CTNETLINK << 8 | 1
_DELETE: Final = _CTNETLINK << 8 | 2
_ORIGINAL: Final = 1  # CTA_TUPLE_ORIG
_REPLY: Final = 2  # CTA_TUPLE_REPLY
_ID: Final = 12  # CTA_ID
_IP: Final = 1  # CTA_TUPLE_IP
_NESTED: Final = 0x8000
_ADDRESSES: Final = (1, 2, 3, 4)  # CTA_IP_V4_SRC, V4_DST, V6_SRC, V6_DST


@dataclass(frozen=True, slots=True)
class Tracked:
    """A connection that the kernel knows: its family, the addresses it is between, and how the
    kernel names it.
    """

    family: int
    addresses: frozenset[bytes]
    original: bytes
    identity: bytes


class ConnectionTable:
    """The table of this network namespace, through one channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def of(self, addresses: Collection[bytes]) -> list[Tracked]:
        """Connections from or to one of `addresses`, packed. Raises Refused."""
        sequence = self._channel.next_sequence()
        asked = message(_GET, REQUEST | DUMP, sequence, 0, b"")
        wanted = frozenset(addresses)
        replies = list(self._channel.dump(asked, sequence))
        return [t for t in map(tracked_of, replies) if t.addresses & wanted]

    def end(self, connections: Collection[Tracked]) -> int:
        """End them; how many were still there."""
        ended = 0
        for tracked in connections:
            sequence = self._channel.next_sequence()
            body = attribute(_ORIGINAL | _NESTED, tracked.original)
            if tracked.identity:
                body += attribute(_ID, tracked.identity)
            request = message(_DELETE, REQUEST | ACK, sequence, tracked.family, body)
            try:
                self._channel.commit(request, sequence)
                ended += 1
            except KernelRefused as error:
                if errno.errorcode[errno.ENOENT] not in error.failures[0].actual:
                    raise
        return ended


def tracked_of(reply: Message) -> Tracked:
    """A connection out of a dump's message. Raises Malformed."""
    said = attributes(reply.body)
    original = said.get(_ORIGINAL, b"")
    addresses: set[bytes] = set()
    for raw in (original, said.get(_REPLY, b"")):
        ip = attributes(attributes(raw).get(_IP, b""))
        addresses |= {ip[kind] for kind in _ADDRESSES if kind in ip}
    return Tracked(reply.family, frozenset(addresses), original, said.get(_ID, b""))
