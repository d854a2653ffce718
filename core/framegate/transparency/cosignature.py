"""What witnesses sign: that a head is the largest consistent one they saw, at a time
(c2sp.org/tlog-cosignature, `cosignature/v1`); and how many of them a head needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import Malformed, Reason, Refused
from framegate.transparency.head import TreeHead, parse_head
from framegate.transparency.note import (
    KeyType,
    Note,
    NoteKey,
    NoteSignature,
    parse_note,
    verified_keys,
)

MAX_WITNESSES: Final = 32
"""Witnesses of one log; each is asked for every head."""
CLOCK_SLACK_S: Final = 300
"""A witness is a stranger's machine: its clock may be ahead by minutes."""
_TIME_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's verified word on a head, at `at_s` seconds since the epoch by its own clock."""

    witness: NoteKey
    at_s: int
    line: str


@dataclass(frozen=True, slots=True)
class Quorum:
    """Whose cosignatures count, how many a head needs (`least`), and for how many seconds they do.
    Raises Malformed where fewer keys than that are named, or one key under two names.
    """

    least: int
    witnesses: tuple[NoteKey, ...]
    within_s: int

    def __post_init__(self) -> None:
        if any(w.kind != KeyType.COSIGNATURE for w in self.witnesses):
            wanted, hint = "keys of cosigners", "framegate witness init prints a witness's key"
            raise Malformed.of(Reason.MALFORMED, wanted, "a log's key", hint)
        keys = {w.public for w in self.witnesses}
        if len(keys) != len(self.witnesses) or not 0 < self.least <= len(keys) <= MAX_WITNESSES:
            wanted = f"1 to {MAX_WITNESSES} witnesses, each key once, and as many as are required"
            raise Malformed.of(Reason.MALFORMED, wanted, f"{self.least} of {len(keys)} keys")


@dataclass(frozen=True, slots=True)
class CosignedHead:
    """A head that a log signed and enough witnesses cosigned; made by `verify_cosigned` only.

    Until `ends_s` (seconds since the epoch) as many cosignatures as were required are young enough.
    """

    head: TreeHead
    note: bytes
    cosigned: tuple[Cosignature, ...]
    ends_s: int


def witness_key(name: str, key: ed25519.Ed25519PublicKey) -> NoteKey:
    """The key that a witness is known by."""
    return NoteKey(name, KeyType.COSIGNATURE, key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def cosign(text: str, name: str, key: ed25519.Ed25519PrivateKey, at_s: int) -> str:
    """The line of a cosignature over a head's note text. Whoever calls this MUST have established
    that the head goes on from every one it cosigned, and have made that durable.
    """
    known = witness_key(name, key.public_key())
    signature = key.sign(_message(text, at_s))
    return NoteSignature(name, known.key_id, at_s.to_bytes(_TIME_BYTES) + signature).line


def verify_cosignature(
    text: str, signature: NoteSignature, witness: NoteKey, now_s: int
) -> Cosignature:
    """What `witness` says of the head whose note has this text.

    1. the signature names this witness's key, and has a time before it that is not to come;
    2. it holds over that time and the text. Raises Refused (SIGNATURE).
    """
    raw = signature.signature
    at_s = int.from_bytes(raw[:_TIME_BYTES])
    if not signature.is_of(witness) or len(raw) != _TIME_BYTES + _SIGNATURE_BYTES:  # 1
        wanted = f"a cosignature by {witness.name}"
        raise Refused.of(Reason.SIGNATURE, wanted, "one of another form or key")
    if at_s > now_s + CLOCK_SLACK_S:
        wanted = f"a cosignature of {now_s} or before"
        raise Refused.of(Reason.SIGNATURE, wanted, at_s, f"set the clock of {witness.name}")
    if not witness.verifies(_message(text, at_s), raw[_TIME_BYTES:]):  # 2
        raise Refused.of(Reason.SIGNATURE, f"a cosignature by {witness.name}", "one that is not")
    return Cosignature(witness, at_s, signature.line)


def cosignatures(note: Note, witnesses: Sequence[NoteKey], now_s: int) -> tuple[Cosignature, ...]:
    """Those of `witnesses`, of each the latest. Raises Refused (SIGNATURE) where one that names a
    known witness does not hold.
    """
    latest: dict[NoteKey, Cosignature] = {}
    for witness in witnesses:
        for signature in note.signatures:
            if signature.is_of(witness):
                one = verify_cosignature(note.text, signature, witness, now_s)
                before = latest.get(witness)
                latest[witness] = one if before is None or one.at_s > before.at_s else before
    return tuple(latest.values())


def verify_cosigned(data: bytes, log: NoteKey, quorum: Quorum, now_s: int) -> CosignedHead:
    """A head that may be relied on.

    1. it is a head, of the log's origin; 2. the log's key signed it; 3. no signature that names a
    known key is another's; 4. `quorum.least` of the witnesses cosigned it; 5. as many did not
    longer ago than `quorum.within_s`. Raises Malformed, or Refused (NOT_COSIGNED, SIGNATURE).
    """
    note = parse_note(data)
    head = parse_head(note.text)  # 1
    if head.origin != log.name:
        raise Refused.of(Reason.NOT_COSIGNED, f"a head of {log.name}", ascii(head.origin)[:80])
    if not verified_keys(note, (log,)):  # 2, 3
        raise Refused.of(Reason.SIGNATURE, f"a head signed by {log.name}", "no signature of it")
    cosigned = cosignatures(note, quorum.witnesses, now_s)
    if len(cosigned) < quorum.least:  # 4
        wanted = f"a head of {head.size} decisions with {quorum.least} cosignatures"
        missing = [w.name for w in quorum.witnesses if w not in {c.witness for c in cosigned}]
        came = f"{len(cosigned)}; none by {', '.join(missing[:4])}"
        raise Refused.of(Reason.NOT_COSIGNED, wanted, came, "framegate witness list")
    times = sorted((c.at_s for c in cosigned), reverse=True)
    ends_s = times[quorum.least - 1] + quorum.within_s
    if ends_s < now_s:  # 5
        wanted = f"{quorum.least} cosignatures of the last {quorum.within_s} s"
        came = f"the last one that counts is {now_s - times[quorum.least - 1]} s old"
        raise Refused.of(Reason.NOT_COSIGNED, wanted, came, "framegate witness list")
    return CosignedHead(head, data, cosigned, ends_s)


def _message(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()
