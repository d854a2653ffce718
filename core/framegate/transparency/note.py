"""Signed notes: a text and the signatures under it, each named after its key.

Source: c2sp.org/signed-note. What a note says is a stranger's word until a key that was known
before has signed it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_der_public_key

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import UNREADABLE, spki_of

MAX_NOTE_BYTES: Final = 64 * 1024
"""A head with its signatures is some kilobytes; post-quantum ones of others are 5 kB each."""
MAX_SIGNATURES: Final = 64
"""Verifiers must take 16; a log has one, and some dozen witnesses."""
MAX_NAME: Final = 200
"""Characters of a key's name: a host and a path, which people read."""
MAX_KEY_TEXT: Final = 4_096
"""Characters of a verifier key: an ML-DSA one of others has 1,800."""
DASH: Final = "\u2014 "
"""How a signature's line begins."""


class KeyType(IntEnum):
    """How a key signs; the number is hashed into its id."""

    ED25519 = 1
    ECDSA = 2  # P-256 with SHA-256, DER
    COSIGNATURE = 4  # Ed25519 over a time and the note (c2sp.org/tlog-cosignature)


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A key that notes are verified with: `public` is 32 bytes of Ed25519, or the DER
    SubjectPublicKeyInfo of a P-256 key. Raises Malformed where it is neither.
    """

    name: str
    kind: KeyType
    public: bytes

    def __post_init__(self) -> None:
        _require_name(self.name)
        _public_key(self)

    @property
    def key_id(self) -> bytes:
        """Four bytes that name the key beside `name`; no proof of which key it is."""
        if self.kind == KeyType.ECDSA:  # as the first logs with such keys had it
            return hashlib.sha256(self.public).digest()[:4]
        kind = bytes([self.kind])
        return hashlib.sha256(self.name.encode() + b"\n" + kind + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The key as people hand it on: NAME+ID+BASE64."""
        material = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` over `message` is this key's."""
        key = _public_key(self)
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            else:
                key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A signature under a note, unverified."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line, its end included."""
        raw = base64.b64encode(self.key_id + self.signature).decode()
        return f"{DASH}{self.name} {raw}\n"

    def is_of(self, key: NoteKey) -> bool:
        """Whether it says that it is of `key`."""
        return (self.name, self.key_id) == (key.name, key.key_id)


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read and not verified: its `text` ends in a newline."""

    text: str
    signatures: tuple[NoteSignature, ...]

    @property
    def data(self) -> bytes:
        """The note's bytes."""
        return (self.text + "\n" + "".join(s.line for s in self.signatures)).encode()


def parse_note_key(text: str) -> NoteKey:
    """The verifier key in `text`, NAME+ID+BASE64 on one line; its id must be of that name and key.

    Raises Malformed.
    """
    name, _, rest = text.strip().partition("+")
    key_id, _, material = rest.partition("+")
    raw = _base64(material) if len(text) <= MAX_KEY_TEXT else None
    kinds = {int(k): k for k in KeyType}
    if raw is None or not raw or raw[0] not in kinds:
        wanted = "a verifier key, NAME+ID+BASE64, of Ed25519, P-256 or a cosigner"
        raise Malformed.of(Reason.MALFORMED, wanted, ascii(text)[:120])
    key = NoteKey(name, kinds[raw[0]], raw[1:])
    if key.key_id.hex() != key_id:
        wanted = f"the id of this name and key, {key.key_id.hex()}"
        hint = "take the whole line as its owner published it"
        raise Malformed.of(Reason.MALFORMED, wanted, ascii(key_id)[:40], hint)
    return key


def parse_note(data: bytes) -> Note:
    """The text and the signatures in `data`, nothing verified. Raises Malformed."""
    if len(data) > MAX_NOTE_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"a note of at most {MAX_NOTE_BYTES} bytes", len(data))
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise Malformed.of(Reason.MALFORMED, "a note in UTF-8", "other bytes") from error
    if any(c < " " and c != "\n" for c in whole):
        raise Malformed.of(Reason.MALFORMED, "a note without control characters", "some")
    text, blank, lines = whole.rpartition("\n\n")
    if not blank:
        raise Malformed.of(Reason.MALFORMED, "a text, a blank line and signatures", "no such line")
    return Note(text + "\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[NoteSignature, ...]:
    """The signatures in `lines`, one or more, each with its line's end. Raises Malformed."""
    rows = lines.split("\n")
    if rows.pop() or not 0 < len(rows) <= MAX_SIGNATURES:
        wanted = f"1 to {MAX_SIGNATURES} lines of signatures"
        raise Malformed.of(Reason.MALFORMED, wanted, f"{len(rows)} and what is no line")
    return tuple(_signature(row) for row in rows)


def verified_keys(note: Note, keys: Iterable[NoteKey]) -> tuple[NoteKey, ...]:
    """Those of `keys` that signed the note's text; signatures of other keys are passed over.

    Raises Refused (SIGNATURE) where one that names a known key does not hold.
    """
    signed = []
    for key in keys:
        own = [s for s in note.signatures if s.is_of(key)]
        if own and not all(key.verifies(note.text.encode(), s.signature) for s in own):
            raise Refused.of(Reason.SIGNATURE, f"a signature by {key.name}", "one that is not")
        signed += [key] if own else []
    return tuple(signed)


def _signature(row: str) -> NoteSignature:
    name, _, text = row.removeprefix(DASH).partition(" ")
    raw = _base64(text)
    if not row.startswith(DASH) or raw is None or len(raw) <= 4:
        wanted = "a signature, em dash, name and base64"
        raise Malformed.of(Reason.MALFORMED, wanted, ascii(row)[:80])
    _require_name(name)
    return NoteSignature(name, raw[:4], raw[4:])


def _require_name(name: str) -> None:
    plain = not any(c.isspace() or c == "+" or c < " " for c in name)
    if not 0 < len(name) <= MAX_NAME or not plain:
        wanted = f"a key's name of at most {MAX_NAME} characters without spaces and +"
        raise Malformed.of(Reason.MALFORMED, wanted, ascii(name)[:80])


def _base64(text: str) -> bytes | None:
    """Bytes in their one base64 encoding."""
    try:
        raw = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None


def _public_key(key: NoteKey) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    try:
        if key.kind != KeyType.ECDSA:
            return ed25519.Ed25519PublicKey.from_public_bytes(key.public)
        loaded = load_der_public_key(key.public)
    except UNREADABLE as error:
        wanted = f"a public key of {key.name}"
        raise Malformed.of(Reason.MALFORMED, wanted, type(error).__name__) from error
    if (
        not isinstance(loaded, ec.EllipticCurvePublicKey)
        or not isinstance(loaded.curve, ec.SECP256R1)
        or spki_of(loaded) != key.public
    ):
        raise Malformed.of(Reason.MALFORMED, f"a P-256 key of {key.name}", "another")
    return loaded
