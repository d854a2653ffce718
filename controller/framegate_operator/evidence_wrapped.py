"""What a file of evidence was wrapped in on its way: packed, or written out as text. It is named
with the command that undoes it; nothing that is compressed is unpacked here.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

_LOOKED_AT: Final = 1024 * 1024
"""Bytes of a text that are turned back: what a file is shows in its first bytes."""
_PACKED: Final = (
    (b"\x1f\x8b", "a gzip archive", "gzip -dc"),
    (b"\xfd7zXZ\0", "an xz archive", "xz -dc"),
    (b"BZh", "a bzip2 archive", "bzip2 -dc"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "zstd -dc"),
    (b"\x04\x22\x4d\x18", "an lz4 archive", "lz4 -dc"),
    (b"PK\x03\x04", "a ZIP archive", "unzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x"),
)
_TAR_MAGIC: Final = slice(257, 262)
_XXD: Final = re.compile(rb"[0-9a-f]{8}: ((?:[0-9a-f]{2,4} )+) ")
_HEXDUMP: Final = re.compile(rb"[0-9a-f]{8}  ((?:[0-9a-f]{2} +)+) \|")
_OD: Final = re.compile(rb"[0-7]{7}((?: [0-9a-f]{2})+)\r?$")
_HEX: Final = re.compile(rb"(?:0x)?[0-9A-Fa-f]{2}(?:[:,\s]*(?:0x)?[0-9A-Fa-f]{2})*[\s,]*")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{4,}(?:\s*[\r\n]\s*[A-Za-z0-9+/_-]+)*=*\s*")
"""Lines without a space in them: with one it is a text of words and numbers."""
_SHORTEST: Final = 32
"""Bytes below which a word is as likely hexadecimal or base64 by chance."""


class Wrapped(NamedTuple):
    """What is around a file, the command that takes it off, and the bytes inside: none where it is
    packed, for that is not unpacked to look.
    """

    around: str
    undo: str
    inside: bytes = b""


def wrapped(raw: bytes) -> Wrapped | None:
    """What is around `raw`; None where it is no wrapping that is known. Never raises."""
    for magic, around, undo in _PACKED:
        if raw.startswith(magic):
            return Wrapped(around, f"unpack it first: {undo} FILE")
    if raw[_TAR_MAGIC] == b"ustar":
        return Wrapped("a tar archive", "unpack it first: tar -xf FILE")
    return _dump(raw) or _as_text(raw) or _through_text(raw)


def _dump(raw: bytes) -> Wrapped | None:
    for line, tool, undo in (
        (_XXD, "xxd", "xxd -r FILE"),
        (_HEXDUMP, "hexdump -C", "copy the file itself"),
        (_OD, "od -t x1", "copy the file itself"),
    ):
        lines = raw[:_LOOKED_AT].splitlines()
        found = [line.match(each) for each in lines]
        if not found or found[0] is None:
            continue
        inside = b"".join(_unhex(m[1]) for m in found if m is not None)
        return Wrapped(f"what {tool} printed", f"make a file of it again: {undo}", inside)
    return None


def _as_text(raw: bytes) -> Wrapped | None:
    text = raw[:_LOOKED_AT].strip()
    if len(text) < 2 * _SHORTEST:
        return None
    if _HEX.fullmatch(text) is not None:
        inside = _unhex(text.replace(b"0x", b""))
        return Wrapped("hexadecimal text", "turn it back first: xxd -r -p FILE", inside)
    if _BASE64.fullmatch(text) is None:
        return None
    plain = b"".join(text.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    whole = plain[: len(plain) - (len(plain) % 4 == 1)]
    try:
        inside = base64.b64decode(whole + b"=" * (-len(whole) % 4))
    except binascii.Error:
        return None
    return Wrapped("base64 text", "turn it back first: base64 -d FILE", inside)


def _unhex(text: bytes) -> bytes:
    digits = re.sub(rb"[^0-9A-Fa-f]", b"", text)
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode())


def _through_text(raw: bytes) -> Wrapped | None:
    """A binary file that something took for text: it cannot be turned back for certain."""
    if b"\0" not in raw or raw.isascii():
        return None
    try:
        raw.decode()
    except UnicodeDecodeError:
        return None
    return Wrapped(
        "a binary file that was taken for text and written out as UTF-8",
        "copy it again, as it is",
    )
