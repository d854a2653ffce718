"""Events as a stream sends them (HTML Standard, 9.2): each made once, and packed once, however many
windows are told it.

A packed stream is one gzip file that never ends (RFC 1952). Each event in it is packed by itself,
with nothing of the events before, so that the same bytes do for every window. No secret stands in
one beside what others wrote, which its length could tell (BREACH).
"""

from __future__ import annotations

import zlib
from typing import Final

GZIP_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""A gzip member's head (RFC 1952, 2.3): deflate, no name, no time, no system."""
_LEVEL: Final = 5
"""Of a page for a thousand cameras: a fourteenth is left, in a millisecond; level 9 takes twice."""


class Event:
    """One event, or a comment between events: plain bytes, and packed ones once somebody asks."""

    __slots__ = ("_packed", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._packed = b""

    @property
    def packed(self) -> bytes:
        """Deflated to a byte's border, with no reference to what was sent before."""
        if not self._packed:
            packing = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
            self._packed = packing.compress(self.plain) + packing.flush(zlib.Z_FULL_FLUSH)
        return self._packed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.plain == other.plain

    def __hash__(self) -> int:
        return hash(self.plain)


def event(name: str, data: str) -> Event:
    """One event; every line of `data` in a line of its own, whatever a machine wrote into it."""
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    head = f"event: {name}\n" if name else ""
    return Event((head + "".join(f"data: {line}\n" for line in lines) + "\n").encode())


NOTHING: Final = Event(b"")
WELL: Final = event("well", "-")
GONE: Final = event("gone", "-")
RETRY: Final = Event(b"retry: 1000\n\n")
STILL_HERE: Final = Event(b": still here\n\n")
