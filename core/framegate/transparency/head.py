"""Heads of a log as notes: origin, size and root (c2sp.org/tlog-checkpoint)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason
from framegate.identity.certificates import spki_of
from framegate.transparency.note import KeyType, Note, NoteKey, NoteSignature

MAX_SIZE: Final = 2**63 - 1
"""Entries of a log; more is no number that every language can hold."""
MAX_ORIGIN: Final = 200
ROOT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A log's tree at one size: `root` is the SHA-256 root of RFC 6962. `extensions` are lines that
    a log of others may add, which mean nothing here.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note's text."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode())
        return "".join(f"{line}\n" for line in (*lines, *self.extensions))


def log_origin(fleet: str, restorations: int) -> str:
    """The origin of a fleet's log of decisions. After each restoration from a backup it is another
    one: a witness never follows a log that became shorter.
    """
    return f"log.{fleet}.framegate/{restorations}"


def origin_number(origin: str, fleet: str) -> int:
    """After how many restorations the log of this origin began. Raises Malformed where it is not of
    `fleet`.
    """
    name, _, number = origin.partition("/")
    if name != f"log.{fleet}.framegate" or not _is_number(number):
        wanted = f"a log of fleet {fleet}"
        raise Malformed.of(Reason.NOT_COSIGNED, wanted, ascii(origin)[:80])
    return int(number)


def log_key(origin: str, key: ec.EllipticCurvePublicKey) -> NoteKey:
    """The key under which a fleet signs the heads of its log of decisions."""
    return NoteKey(origin, KeyType.ECDSA, spki_of(key))


def sign_head(head: TreeHead, key: NoteKey, sign: Callable[[bytes], bytes]) -> bytes:
    """The note of `head`; `sign` gives the signature of `key` over bytes."""
    signature = NoteSignature(key.name, key.key_id, sign(head.text.encode()))
    return Note(head.text, (signature,)).data


def parse_head(text: str) -> TreeHead:
    """The head that a note's text is. Raises Malformed."""
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines):
        wanted = "origin, size and root, a line each"
        raise Malformed.of(Reason.MALFORMED, wanted, ascii(text)[:120])
    origin, size, root = lines[:3]
    try:
        digest = base64.b64decode(root.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        digest = b""
    canonical = base64.b64encode(digest).decode() == root and len(digest) == ROOT_BYTES
    if not canonical or len(origin) > MAX_ORIGIN:
        wanted = f"an origin of at most {MAX_ORIGIN} characters and a root of {ROOT_BYTES} bytes"
        raise Malformed.of(Reason.MALFORMED, wanted, ascii(text)[:120])
    return TreeHead(origin, parse_size(size), digest, tuple(lines[3:]))


def parse_size(text: str) -> int:
    """A tree's size, a decimal without leading zeroes. Raises Malformed."""
    if not _is_number(text) or int(text) > MAX_SIZE:
        raise Malformed.of(Reason.MALFORMED, f"a size up to {MAX_SIZE}", ascii(text)[:40])
    return int(text)


def _is_number(text: str) -> bool:
    plain = text.isascii() and text.isdigit() and len(text) <= 19
    return plain and (text == "0" or text[0] != "0")
