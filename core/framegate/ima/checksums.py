"""Checksum files as `sha256sum` and its kin write them, read as files that an allowlist allows.

Source: coreutils, "md5sum invocation" and "cksum output modes". A line is

    DIGEST␠␠NAME        text mode; ␠* is binary mode, a single space what BSD writes with -r
    \\DIGEST␠␠NAME       the name has \\\\, \\n and \\r for backslash, line feed and carriage return
    SHA256 (NAME) = DIGEST      --tag and BSD, OpenSSL without the spaces; DIGEST in hexadecimal or,
                                by cksum --base64, in base64
    sha256:DIGEST NAME          of fsverity digest and fsverity measure: the root of a tree over the
                                file, which a kernel measures as verity:sha256

ended by a line feed, with a carriage return before it where Windows tools touched it, or, with
--zero, by a NUL, and then no name is escaped.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from framegate.byte_order_mark import as_utf8
from framegate.errors import Malformed, Reason
from framegate.ima.allowlist import FILE_HASHES, AllowedFile
from framegate.ima.template import VERITY, kernel_name

_PLAIN: Final = re.compile(rb"(\\?)([0-9a-fA-F]+) (?:[ *](.+)|([^ *].*))", re.DOTALL)
_TAGGED: Final = re.compile(
    rb"(\\?)(?:SHA|SHA2-)(256|384|512) ?\((.+)\) ?= ?([0-9A-Za-z+/=]+)", re.DOTALL
)
_VERITY: Final = re.compile(rb"(sha256|sha512):([0-9a-fA-F]+) ([^ ].*)", re.DOTALL)
"""One space: with two it is a line of an allowlist without its head, and a hash of a file."""
_BY_WIDTH: Final = {2 * size: algorithm for algorithm, size in FILE_HASHES.items()}
_ESCAPES: Final = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}
_BAD_ESCAPE: Final = re.compile(rb"\\(?![\\nr])")
_ESCAPE: Final = re.compile(rb"\\([\\nr])")


class _Line(NamedTuple):
    """What a line says: whether its name is escaped, the algorithm, the digest, the name."""

    escaped: bool
    algorithm: str
    digest: bytes
    name: bytes


def parse_checksums(data: bytes) -> list[AllowedFile]:
    """The files in `data`, by the names under which the kernel measures them: its spaces are
    underscores there. Raises Malformed (ALLOWLIST) that names the line.
    """
    data = as_utf8(data)
    zero = b"\0" in data
    return [_allowed(raw, number, zero) for number, raw in _lines(data, zero)]


def _lines(data: bytes, zero: bool) -> Iterator[tuple[int, bytes]]:
    for number, raw in enumerate(data.split(b"\0" if zero else b"\n"), 1):
        line = raw if zero else raw.removesuffix(b"\r")
        if line.strip() and not line.startswith(b"#"):
            yield number, line


def _allowed(raw: bytes, number: int, zero: bool) -> AllowedFile:
    line = _read(raw)
    if line is None:
        raise _bad("checksum and name as sha256sum writes them, in line", number, raw)
    name = line.name
    if line.escaped:
        if zero or _BAD_ESCAPE.search(name.replace(b"\\\\", b"")):
            raise _bad(r"\\, \n and \r alone in an escaped name, in line", number, raw)
        name = _ESCAPE.sub(lambda m: _ESCAPES[m[1]], name)
    return AllowedFile(line.algorithm, line.digest, kernel_name(name))


def _read(raw: bytes) -> _Line | None:
    tagged = _TAGGED.fullmatch(raw)
    if tagged is not None:
        algorithm = f"sha{int(tagged[2])}"
        digest = _digest(tagged[4], FILE_HASHES[algorithm])
        return _Line(bool(tagged[1]), algorithm, digest, tagged[3]) if digest else None
    verity = _VERITY.fullmatch(raw)
    if verity is not None:
        algorithm = verity[1].decode()
        digest = _digest(verity[2], FILE_HASHES[algorithm])
        return _Line(False, VERITY + algorithm, digest, verity[3]) if digest else None
    plain = _PLAIN.fullmatch(raw)
    if plain is None or len(plain[2]) not in _BY_WIDTH:
        return None
    digest = bytes.fromhex(plain[2].decode())
    return _Line(bool(plain[1]), _BY_WIDTH[len(plain[2])], digest, plain[3] or plain[4])


def _digest(shown: bytes, size: int) -> bytes:
    """Hexadecimal or base64; empty where it is neither of `size` bytes."""
    try:
        value = (
            bytes.fromhex(shown.decode())
            if len(shown) == 2 * size
            else base64.b64decode(shown, validate=True)
        )
    except (ValueError, binascii.Error):
        return b""
    return value if len(value) == size else b""


def _bad(wanted: str, number: int, raw: bytes) -> Malformed:
    return Malformed.of(
        Reason.ALLOWLIST,
        f"{wanted} {number}",
        ascii(raw[:80]),
        "SHA-256, SHA-384 and SHA-512 are read: sha256sum, with --tag, --zero or neither; fsverity",
    )
