"""Width and height out of a JPEG's or PNG's header, before any decoder sees the image.

Source: ISO/IEC 10918-1 B.2.2 (frame header), PNG specification 11.2.2 (IHDR).
"""

from __future__ import annotations

from framegate.errors import Malformed, Reason
from framegate.wire import ENCODING_JPEG, ENCODING_PNG

JPEG_MAGIC = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive DCT: what cameras write. Lossless and arithmetic JPEG are
refused.
"""
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


def encoding_of(data: bytes) -> int:
    """JPEG or PNG, by the first bytes; anything else is called PNG, whose own check then says what
    came.
    """
    return ENCODING_JPEG if data[:2] == JPEG_MAGIC else ENCODING_PNG


def image_size(data: bytes, encoding: int) -> tuple[int, int]:
    """(width, height) in pixels. Raises Malformed (IMAGE) where `data` is not of `encoding`, is
    truncated, or hides its size.
    """
    if encoding == ENCODING_PNG:
        if len(data) < 33 or not data.startswith(_PNG):
            raise _bad("a PNG with its header first", data)
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if encoding != ENCODING_JPEG or data[:2] != JPEG_MAGIC:
        raise _bad("a JPEG", data)
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _FRAME_HEADERS and size >= 8 and at + 9 <= len(data):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(
                data[at + 5 : at + 7], "big"
            )
        if marker in {0xDA, 0xD9} or size < 2:
            break
        at += 2 + size
    raise _bad("a JPEG with a frame header before its data", data)


def _bad(expected: str, data: bytes) -> Malformed:
    return Malformed.of(
        Reason.IMAGE, expected, f"{len(data)} bytes that begin {data[:4].hex() or 'nowhere'}"
    )
