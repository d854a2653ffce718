"""Allowlists: which file contents may be measured, as a text file named by its own digest, so that
thousands of devices share one copy.

    # framegate allowlist v1
    sha256:0b9f…  /usr/bin/python3.11
    sha256:77aa…  *

`*` allows the content under any name. Bytes of a path outside printable ASCII, `%` and the
backslash stand as %XX. An fs-verity digest stands as `verity:sha256:…`, as the kernel measures it;
it is no hash of the file, and neither is ever taken for the other. A kernel measures the spaces of
a name as underscores, and so they stand here.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from framegate.byte_order_mark import as_utf8
from framegate.errors import Malformed, Reason
from framegate.ima.entry import BOOT_AGGREGATE

HEADER: Final = "# framegate allowlist v1"
MAX_ALLOWLIST_BYTES: Final = 32 * 1024 * 1024
"""A distribution's every file: some 200,000 lines."""
FILE_HASHES: Final = {"sha256": 32, "sha384": 48, "sha512": 64}
"""Hashes of a whole file that may decide; SHA-1 and MD5 may be measured and never allow (N65)."""
STRONG: Final = {**FILE_HASHES, "verity:sha256": 32, "verity:sha512": 64}
"""What may decide: those, and the roots that fs-verity makes (Linux, fsverity.rst)."""
_SAFE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in "%\\")
ANYWHERE: Final = b""
"""No file's name; one that is called `*` stands as %2A."""
_ANYWHERE_SHOWN: Final = "*"


class AllowedFile(NamedTuple):
    """Content that may be measured at `path`; `ANYWHERE` for content allowed under any name."""

    algorithm: str
    digest: bytes
    path: bytes


@dataclass(frozen=True, slots=True)
class Allowlist:
    """One allowlist. `digest` is SHA-256 of its bytes.

    `keys` holds each file as the template data that a kernel would measure for it (`key_of`): the
    smallest set Python has, and a measured entry is looked up as it is. `anywhere` holds
    `algorithm:digest` of contents allowed under any name. `aggregates` are those of `keys` that are
    called boot_aggregate: what that is, a boot's own PCRs decide, and no list.
    """

    digest: bytes
    keys: frozenset[bytes]
    anywhere: frozenset[bytes]
    aggregates: frozenset[bytes] = frozenset()

    def allows(self, algorithm: str, digest: bytes, path: bytes) -> bool:
        """Whether this content may be there."""
        return (
            key_of(algorithm, digest, path) in self.keys
            or algorithm.encode() + b":" + digest in self.anywhere
        )

    def names(self, algorithm: str, digest: bytes, path: bytes) -> bool:
        """Whether this content is listed for this very path; content allowed anywhere is not."""
        return key_of(algorithm, digest, path) in self.keys

    def known(self, path: bytes) -> list[str]:
        """Digests allowed at `path`, for a person; looks at every entry."""
        tail = struct.pack("<I", len(path) + 1) + path + b"\0"
        return (
            sorted(f"{f.algorithm}:{f.digest.hex()}" for f in self.files() if f.path == path)
            if any(k.endswith(tail) for k in self.keys)
            else []
        )

    def files(self) -> Iterator[AllowedFile]:
        """Every file of the list."""
        for key in self.keys:
            head = int.from_bytes(key[:4], "little")
            algorithm, _, digest = key[4 : 4 + head].partition(b":\0")
            yield AllowedFile(algorithm.decode(), digest, key[8 + head : -1])
        for each in self.anywhere:
            kind = next(a for a in STRONG if each.startswith(a.encode() + b":"))
            yield AllowedFile(kind, each[len(kind) + 1 :], ANYWHERE)

    @property
    def size(self) -> int:
        """How many files it lists."""
        return len(self.keys) + len(self.anywhere)


def key_of(algorithm: str, digest: bytes, path: bytes) -> bytes:
    """The data of an ima-ng entry of this file (Linux, IMA-templates.rst)."""
    head = algorithm.encode() + b":\0" + digest
    return struct.pack("<I", len(head)) + head + struct.pack("<I", len(path) + 1) + path + b"\0"


def parse_allowlist(data: bytes) -> Allowlist:
    """The allowlist in `data`. Raises Malformed (ALLOWLIST) naming the line; the same digest for
    the same path twice is allowed and says nothing.
    """
    if len(data) > MAX_ALLOWLIST_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"an allowlist of at most {MAX_ALLOWLIST_BYTES} bytes", len(data)
        )
    lines = data.decode("ascii", "replace").split("\n")
    if lines[0] != HEADER:
        raise Malformed.of(
            Reason.ALLOWLIST,
            f"the first line {HEADER!r}",
            ascii(lines[0][:60]),
            "an editor wrote it in another way, and its bytes are its name: take it as it was made"
            if as_utf8(data[:200]).startswith(HEADER.encode())
            else "make one: framegate profile allowlist FILE…",
        )
    keys, anywhere, aggregates = set[bytes](), set[bytes](), set[bytes]()
    for number, line in enumerate(lines[1:], 2):
        if not line or line.startswith("#"):
            continue
        head, _, path = line.partition("  ")
        algorithm, _, value = head.rpartition(":")
        try:
            digest = bytes.fromhex(value)
        except ValueError:
            digest = b""
        if STRONG.get(algorithm) != len(digest) or not path or not digest:
            raise Malformed.of(
                Reason.ALLOWLIST,
                f"{'|'.join(STRONG)}:HEX, two spaces, path, in line {number}",
                ascii(line[:80]),
            )
        if path == _ANYWHERE_SHOWN:
            anywhere.add(algorithm.encode() + b":" + digest)
        else:
            name = unquote_to_bytes(path)
            key = key_of(algorithm, digest, name)
            keys.add(key)
            if name == BOOT_AGGREGATE:
                aggregates.add(key)
    return Allowlist(
        hashlib.sha256(data).digest(), frozenset(keys), frozenset(anywhere), frozenset(aggregates)
    )


def allowlist_text(files: Iterable[AllowedFile]) -> bytes:
    """An allowlist's bytes from its files, sorted, each once: the same files give
    the same digest.
    """
    lines = {f"{f.algorithm}:{f.digest.hex()}  {_shown(f.path)}" for f in files}
    return "\n".join(
        [HEADER, *sorted(lines, key=lambda line: (line.partition("  ")[2], line)), ""]
    ).encode()


def _shown(path: bytes) -> str:
    if path == ANYWHERE:
        return _ANYWHERE_SHOWN
    text = quote_from_bytes(path, safe=_SAFE)
    return text if text != _ANYWHERE_SHOWN else "%2A"
