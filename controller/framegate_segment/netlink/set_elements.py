"""Elements of nftables sets: put with a life, taken out, read back
(linux/netfilter/nf_tables.h).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from framegate.segment.trusted_sets import Element
from framegate_segment.netlink.channel import Channel, KernelRefused
from framegate_segment.netlink.codec import (
    ACK,
    BATCH_BEGIN,
    BATCH_END,
    CREATE,
    DUMP,
    REQUEST,
    Message,
    attribute,
    attribute_list,
    attributes,
    message,
    nested,
    text,
)

NFTABLES: Final = 10
INET: Final = 1
BRIDGE: Final = 7
_NEW: Final = NFTABLES << 8 | 12
_GET: Final = NFTABLES << 8 | 13
_DELETE: Final = NFTABLES << 8 | 14
_TABLE, _SET, _ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_…
_LIST_ELEMENT: Final = 1  # NFTA_LIST_ELEM
_KEY, _TIMEOUT, _EXPIRATION = 1, 4, 5  # NFTA_SET_ELEM_…
_VALUE: Final = 1  # NFTA_DATA_VALUE
AT_ONCE: Final = 800
"""Elements of one message: an attribute holds 64 KiB."""


@dataclass(frozen=True, slots=True)
class Life:
    """An element that stands for so many milliseconds more."""

    element: Element
    left_ms: int


class SetElements:
    """The sets of `table`, of the family inet or another, through one channel."""

    def __init__(self, channel: Channel, table: str, family: int = INET) -> None:
        self._channel, self._table, self._family = channel, table, family

    def put(self, lives: Sequence[Life]) -> None:
        """Let each stand for its time from now on, whether it stood before or not: added, deleted
        and added in one transaction, in between which no packet is looked up. Raises Refused.
        """
        if lives:
            elements = [life.element for life in lives]
            self._commit(
                (_NEW, [Life(e, life.left_ms) for e, life in zip(elements, lives, strict=True)]),
                (_DELETE, [Life(e, 0) for e in elements]),
                (_NEW, list(lives)),
            )

    def remove(self, elements: Iterable[Element]) -> None:
        """Take them out. Those that are not there, ended by themselves, are no fault."""
        gone = [Life(e, 0) for e in elements]
        if not gone:
            return
        try:
            self._commit((_DELETE, gone))
        except KernelRefused:  # one that was missing fails them all
            for life in gone:
                try:
                    self._commit((_DELETE, [life]))
                except KernelRefused as error:
                    if errno.errorcode[errno.ENOENT] not in error.failures[0].actual:
                        raise

    def standing(self, set_name: str) -> Mapping[Element, int]:
        """What stands in a set now, with the milliseconds left. Raises Refused."""
        sequence = self._channel.next_sequence()
        body = text(_TABLE, self._table) + text(_SET, set_name)
        asked = message(_GET, REQUEST | DUMP, sequence, self._family, body)
        lives: dict[Element, int] = {}
        for reply in self._channel.dump(asked, sequence):
            for life in elements_in(reply):
                lives[life.element] = life.left_ms
        return lives

    def _commit(self, *steps: tuple[int, list[Life]]) -> None:
        sequence = self._channel.next_sequence
        parts = [message(BATCH_BEGIN, REQUEST, sequence(), 0, b"", NFTABLES)]
        for kind, lives in steps:
            flags = REQUEST | (CREATE if kind == _NEW else 0)
            for body in element_bodies(self._table, lives, timed=kind == _NEW):
                parts.append(message(kind, flags, sequence(), self._family, body))
        last = sequence()
        parts.append(message(BATCH_END, REQUEST | ACK, last, 0, b"", NFTABLES))
        self._channel.commit(b"".join(parts), last)


def element_bodies(table: str, lives: Sequence[Life], *, timed: bool) -> Iterator[bytes]:
    """Bodies of messages for elements, those of one set together."""
    ordered = sorted(lives, key=lambda life: life.element.set_name)
    for name, group in groupby(ordered, key=lambda life: life.element.set_name):
        rows = list(group)
        for at in range(0, len(rows), AT_ONCE):
            members = [_element(row, timed=timed) for row in rows[at : at + AT_ONCE]]
            yield text(_TABLE, table) + text(_SET, name) + nested(_ELEMENTS, *members)


def elements_in(reply: Message) -> Iterator[Life]:
    """The elements that a message speaks of. Raises Malformed."""
    said = attributes(reply.body)
    name = said.get(_SET, b"").split(b"\0", 1)[0].decode("ascii", "backslashreplace")
    for kind, payload in attribute_list(said.get(_ELEMENTS, b"")):
        if kind != _LIST_ELEMENT:
            continue
        members = attributes(payload)
        key = attributes(members.get(_KEY, b"")).get(_VALUE, b"")
        left = members.get(_EXPIRATION, members.get(_TIMEOUT, bytes(8)))
        yield Life(Element(name, key), struct.unpack("!Q", left)[0] if len(left) == 8 else 0)


def _element(life: Life, *, timed: bool) -> bytes:
    members = [nested(_KEY, attribute(_VALUE, life.element.key))]
    if timed:
        members.append(attribute(_TIMEOUT, struct.pack("!Q", max(1, life.left_ms))))
    return nested(_LIST_ELEMENT, *members)
