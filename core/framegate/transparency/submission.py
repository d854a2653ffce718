"""What a log sends a witness: a head and the proof that it goes on from the one before
(c2sp.org/tlog-witness, `add-checkpoint`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.transparency.head import ROOT_BYTES, parse_size
from framegate.transparency.note import MAX_NOTE_BYTES, Note, parse_note

MAX_PROOF: Final = 63
"""Hashes of a consistency proof: what the protocol allows."""
MAX_SUBMISSION_BYTES: Final = MAX_NOTE_BYTES + 8 * 1024
SIZE_TYPE: Final = "text/x.tlog.size"
"""The media type of the size that a witness knows, which it answers 409 with."""
_OLD: Final = "old "


@dataclass(frozen=True, slots=True)
class Submission:
    """A head for a witness, and the proof from the size `old`; nothing of it is verified."""

    old: int
    proof: tuple[bytes, ...]
    note: Note

    @property
    def body(self) -> bytes:
        """The request's body."""
        hashes = "".join(f"{base64.b64encode(h).decode()}\n" for h in self.proof)
        return f"{_OLD}{self.old}\n{hashes}\n".encode() + self.note.data


def parse_submission(body: bytes) -> Submission:
    """The submission in a request's body. Raises Malformed."""
    if len(body) > MAX_SUBMISSION_BYTES:
        wanted = f"at most {MAX_SUBMISSION_BYTES} bytes"
        raise Malformed.of(Reason.TOO_LARGE, wanted, len(body))
    first, blank, note = body.partition(b"\n\n")
    try:
        lines = first.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed.of(Reason.MALFORMED, "an old size and hashes", "other bytes") from error
    if not blank or not lines[0].startswith(_OLD) or len(lines) > MAX_PROOF + 1:
        wanted = f"an old size, at most {MAX_PROOF} hashes, a blank line and a head"
        raise Malformed.of(Reason.MALFORMED, wanted, ascii(lines[0])[:40])
    old = parse_size(lines[0].removeprefix(_OLD))
    return Submission(old, parse_hashes(lines[1:]), parse_note(note))


def parse_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    """Hashes, one a line in base64. Raises Malformed."""
    hashes = []
    for line in lines:
        try:
            raw = base64.b64decode(line.encode(), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raw = b""
        if len(raw) != ROOT_BYTES or base64.b64encode(raw).decode() != line:
            raise Malformed.of(Reason.MALFORMED, "a hash of 32 bytes in base64", ascii(line)[:60])
        hashes.append(raw)
    return tuple(hashes)
