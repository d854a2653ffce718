"""What a JPEG's or PNG's bytes say before any decoder sees the image: its size, how many bits a
sample has, and whether its end is there.

Source: ISO/IEC 10918-1 B.1.1 and B.2.2 (markers, frame header), PNG specification 11.2.2 and 11.2.5
(IHDR, IEND). Pixels are taken as they are stored: an EXIF orientation turns no frame, because
boxes, masks, golden images and the size in the header are of the stored pixels.
"""

from __future__ import annotations

import re
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.wire import ENCODING_JPEG, ENCODING_PNG

JPEG_MAGIC = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive DCT: what cameras write. Lossless and arithmetic JPEG are
refused.
"""
_COMPONENTS = frozenset({1, 3})
_SOS, _EOI = 0xDA, 0xD9
BITS: Final = 8
"""Bits of a sample, all through inspection: models, golden images and masks are of bytes."""
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\x01\xd0-\xd7]")
"""Any marker but stuffing, fill bytes, and those that stand alone within a scan."""
MAX_SEGMENTS: Final = 16_384
"""Segments of a JPEG or chunks of a PNG: encoders write some ten, or one for 8 KiB of pixels; more
are looked at in vain.
"""
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


_OTHERS: Final = (
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"II+\0", "a BigTIFF"),
    (b"BM", "a BMP"),
    (b"GIF8", "a GIF"),
    (b"RIFF", "a WebP, or another RIFF file"),
    (b"\0\0\0\x0cjP", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"P5", "a PGM"),
    (b"P6", "a PPM"),
    (b"\0\0\1\0", "an icon"),
    (b"SIMPLE", "a FITS"),
    (b"%PDF", "a PDF"),
)
"""What else a picture's file may be, by its first bytes: named where it is refused."""


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
            raise _bad("a JPEG, or a PNG with its header first", data)
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if encoding != ENCODING_JPEG or data[:2] != JPEG_MAGIC:
        raise _bad("a JPEG", data)
    at = _frame_header(data)
    return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(
        data[at + 5 : at + 7], "big"
    )


def require_whole(data: bytes, encoding: int) -> None:
    """Raises Malformed (IMAGE) for what a decoder would turn into another picture without a word:
    more than 8 bits a sample, which it would cut down; four inks (CMYK), which some programs write
    as their opposite; and an image without its end marker, whose missing part it would paint grey.
    The caller MUST have read `image_size`.
    """
    if encoding == ENCODING_PNG:
        bits, whole, marker = data[24], _has_iend(data), "IEND"
    else:
        bits, whole, marker = data[_frame_header(data) + 4], _has_eoi(data), "EOI"
    if encoding == ENCODING_JPEG and data[_frame_header(data) + 9] not in _COMPONENTS:
        raise Malformed.of(
            Reason.IMAGE,
            "a JPEG of grey, or of three colours",
            f"one of {data[_frame_header(data) + 9]} components: inks, which no camera sees",
            "convert it where it is made: whether more is darker is not told in it",
        )
    if bits > BITS:
        raise Malformed.of(
            Reason.IMAGE,
            f"{BITS} bits a sample",
            f"{bits}",
            "convert it where it is made: which bits of a deeper image matter is not told in it",
        )
    if not whole:
        raise Malformed.of(
            Reason.IMAGE,
            f"an image with its end marker ({marker})",
            f"{len(data)} bytes without",
            "it was cut off on its way, or its maker leaves the marker out",
        )


def _frame_header(data: bytes) -> int:
    """Where the frame header's marker stands. Raises Malformed."""
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
        if marker in _FRAME_HEADERS and size >= 8 and at + 10 <= len(data):
            return at
        if marker in {_SOS, _EOI} or size < 2:
            break
        at += 2 + size
    raise _bad("a JPEG with a frame header before its data", data)


def _has_eoi(data: bytes) -> bool:
    """Whether a scan is followed by the end marker, further scans and tables between them."""
    at, scans = _frame_header(data), 0
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, at)
        if marker is None:
            return False
        at, kind = marker.end(), data[marker.end() - 1]
        if kind == _EOI:
            return scans > 0
        scans += kind == _SOS
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return False


def _has_iend(data: bytes) -> bool:
    at = 8
    for _ in range(MAX_SEGMENTS):
        if at + 12 > len(data):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def _bad(expected: str, data: bytes) -> Malformed:
    named = other_image(data)
    if named:
        return Malformed.of(Reason.IMAGE, expected, named, "convert it to PNG where it is made")
    return Malformed.of(
        Reason.IMAGE, expected, f"{len(data)} bytes that begin {data[:4].hex() or 'nowhere'}"
    )


def other_image(data: bytes) -> str:
    """What kind of picture `data` is, where it is one that is not read; else nothing."""
    if data[4:8] == b"ftyp":
        return "an AVIF, HEIF or video"
    return next((what for magic, what in _OTHERS if data.startswith(magic)), "")
