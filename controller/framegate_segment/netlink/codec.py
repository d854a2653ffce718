"""Netlink messages and attributes as bytes (RFC 3549, 2; include/uapi/linux/netlink.h), for
NETLINK_NETFILTER (linux/netfilter/nfnetlink.h). Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason

HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NFGEN: Final = struct.Struct("!BBH")
NLA_TYPE: Final = 0x3FFF
"""Without NLA_F_NESTED and NLA_F_NET_BYTEORDER."""
_NESTED: Final = 0x8000
ERROR: Final = 2
DONE: Final = 3
REQUEST: Final = 0x1
ACK: Final = 0x4
DUMP: Final = 0x300
CREATE: Final = 0x400
BATCH_BEGIN: Final = 16
BATCH_END: Final = 17


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its type, who sent what caused it (port id and sequence), and what follows the
    nfgenmsg, whose address family is `family`.
    """

    kind: int
    flags: int
    sequence: int
    port_id: int
    family: int
    resource: int
    body: bytes

    @property
    def error(self) -> int:
        """Of a message of kind ERROR: the positive errno, 0 where it acknowledges."""
        code: int = struct.unpack_from("=i", self.body)[0]
        return -code


def attribute(kind: int, payload: bytes) -> bytes:
    """An attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def nested(kind: int, *members: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(members))


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a zero-terminated text."""
    return attribute(kind, value.encode() + b"\0")


def message(
    kind: int, flags: int, sequence: int, family: int, body: bytes, resource: int = 0
) -> bytes:
    """A message of nfnetlink."""
    whole = _NFGEN.pack(family, 0, resource) + body
    return HEADER.pack(HEADER.size + len(whole), kind, flags, sequence, 0) + whole


def messages(data: bytes) -> Iterator[Message]:
    """The messages in what one read gave. Raises Malformed."""
    at = 0
    while at < len(data):
        if len(data) - at < HEADER.size:
            raise _bad("a header", len(data) - at)
        length, kind, flags, sequence, port_id = HEADER.unpack_from(data, at)
        if not HEADER.size <= length <= len(data) - at:
            raise _bad(f"a length within {len(data) - at} bytes", length)
        body = data[at + HEADER.size : at + length]
        if kind in {ERROR, DONE}:
            if kind == ERROR and len(body) < 4:
                raise _bad("an error code", len(body))
            yield Message(kind, flags, sequence, port_id, 0, 0, body)
        else:
            if len(body) < _NFGEN.size:
                raise _bad("an nfgenmsg", len(body))
            family, _, resource = _NFGEN.unpack_from(body)
            yield Message(kind, flags, sequence, port_id, family, resource, body[_NFGEN.size :])
        at += length + (-length % 4)


def attributes(data: bytes) -> Mapping[int, bytes]:
    """Attributes by kind; of one that stands twice the last. Raises Malformed."""
    return dict(attribute_list(data))


def attribute_list(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, payload) of each attribute, in order. Raises Malformed."""
    at = 0
    while at < len(data):
        if len(data) - at < _ATTRIBUTE.size:
            raise _bad("an attribute", len(data) - at)
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise _bad(f"an attribute within {len(data) - at} bytes", length)
        yield kind & NLA_TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += length + (-length % 4)


def text_of(payload: bytes) -> str:
    """A zero-terminated text; what is no ASCII is shown escaped."""
    return payload.split(b"\0", 1)[0].decode("ascii", "backslashreplace")


def _bad(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.MALFORMED, f"netlink: {expected}", actual)
