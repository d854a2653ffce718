"""Elements of BER with definite lengths: what a certificate is made of, read without judging it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_NESTING: Final = 24
"""Elements within elements; a certificate's names inside its extensions reach 12."""
SEQUENCE: Final = 0x30
_CONSTRUCTED: Final = 0x20
_LONG_TAG: Final = 0x1F


@dataclass(frozen=True, slots=True)
class Element:
    """One element of BER with definite lengths. `raw` is how it came; a constructed one has
    `children`, another its `content`.
    """

    tag: int
    raw: bytes
    content: bytes
    children: tuple[Element, ...] = ()

    @property
    def der(self) -> bytes:
        """The element in DER, its children as they are now."""
        body = b"".join(c.der for c in self.children) if self.constructed else self.content
        return bytes([self.tag]) + _length(len(body)) + body

    @property
    def constructed(self) -> bool:
        """Whether it holds other elements."""
        return bool(self.tag & _CONSTRUCTED)


def elements(data: bytes, nesting: int = 0) -> Iterator[Element]:
    """The elements in `data`, one behind another. Raises ValueError where they do not account for
    every byte, nest too deep, or have no definite length.
    """
    if nesting > MAX_NESTING:
        raise ValueError(f"more than {MAX_NESTING} elements within one another")
    at = 0
    while at < len(data):
        start, tag = at, data[at]
        if tag & _LONG_TAG == _LONG_TAG or len(data) - at < 2:
            raise ValueError(f"a tag and a length at {at}")
        size, at = data[at + 1], at + 2
        if size == 0x80 or size > 0x84:
            raise ValueError(f"a definite length of at most 4 bytes at {at}")
        if size > 0x80:
            wide = size - 0x80
            size, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        if size > len(data) - at:
            raise ValueError(f"{size} bytes at {at}, {len(data) - at} left")
        content = data[at : at + size]
        at += size
        children = tuple(elements(content, nesting + 1)) if tag & _CONSTRUCTED else ()
        yield Element(tag, data[start:at], content, children)


def first_size(data: bytes) -> int:
    """How many bytes the SEQUENCE takes that `data` begins with, whatever stands behind it; 0 where
    it begins with none, or is cut off before its length. No certificate has less than 128 bytes.
    """
    if len(data) < 4 or data[0] != SEQUENCE or not 0x81 <= data[1] <= 0x84:
        return 0
    head = 2 + data[1] - 0x80
    return head + int.from_bytes(data[2:head], "big") if len(data) >= head else 0


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    body = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(body)]) + body
