"""That a decision is in a log, offline: the entry, its path, and a head that witnesses cosigned
(c2sp.org/tlog-proof); and that one head goes on from another.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason, Refused
from framegate.receipt_verifier import leaf_hash, root_from_path
from framegate.record.verify import consistent
from framegate.transparency.decision import Decision, parse_decision
from framegate.transparency.head import TreeHead, parse_size
from framegate.transparency.note import MAX_NOTE_BYTES
from framegate.transparency.submission import MAX_PROOF, parse_hashes

MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 16 * 1024
_FORMAT: Final = "c2sp.org/tlog-proof@v1"
_EXTRA, _INDEX = "extra ", "index "
FORKED_HINT: Final = (
    "two histories under one key: keep both heads (framegate log compare FILE FILE) and show them "
    "to whoever runs the witnesses"
)


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An entry and where it is said to be; nothing of it is verified."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as a file: the entry stands in it as its extra data; nothing of it is verified."""

    inclusion: Inclusion
    note: bytes

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        entry = base64.b64encode(self.inclusion.entry).decode()
        hashes = "".join(f"{base64.b64encode(h).decode()}\n" for h in self.inclusion.path)
        index = self.inclusion.index
        return f"{_FORMAT}\n{_EXTRA}{entry}\n{_INDEX}{index}\n{hashes}\n".encode() + self.note


def parse_proof(data: bytes) -> TlogProof:
    """The proof in a file's bytes. Raises Malformed."""
    if len(data) > MAX_PROOF_BYTES:
        wanted = f"a proof of at most {MAX_PROOF_BYTES} bytes"
        raise Malformed.of(Reason.TOO_LARGE, wanted, len(data))
    first, blank, note = data.partition(b"\n\n")
    try:
        lines = first.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed.of(Reason.MALFORMED, f"a {_FORMAT}", "other bytes") from error
    begins = [*lines, "", "", ""][:3]
    if (
        not blank
        or begins[0] != _FORMAT
        or not begins[1].startswith(_EXTRA)
        or not begins[2].startswith(_INDEX)
        or len(lines) > MAX_PROOF + 3
    ):
        wanted = f"a {_FORMAT} with its entry, index and hashes"
        raise Malformed.of(Reason.MALFORMED, wanted, ascii(begins[0])[:60])
    try:
        entry = base64.b64decode(begins[1].removeprefix(_EXTRA).encode(), validate=True)
    except ValueError as error:
        raise Malformed.of(Reason.MALFORMED, "an entry in base64", "other text") from error
    index = parse_size(begins[2].removeprefix(_INDEX))
    return TlogProof(Inclusion(entry, index, parse_hashes(lines[3:])), note)


def verify_inclusion(inclusion: Inclusion, head: TreeHead) -> Decision:
    """The decision that is in the log under `head`, which the caller MUST have verified.

    1. its path leads from its bytes, at its index, to the head's root; 2. it is a decision. Raises
    Malformed or Refused (NOT_COSIGNED).
    """
    try:
        root = root_from_path(
            leaf_hash(inclusion.entry), inclusion.index, head.size, inclusion.path
        )
    except ValueError:
        root = b""
    if root != head.root:  # 1
        wanted = f"an entry under the head of {head.size} decisions"
        raise Refused.of(Reason.NOT_COSIGNED, wanted, f"a path from {inclusion.index} elsewhere")
    return parse_decision(inclusion.entry)  # 2


def require_goes_on(before: TreeHead, head: TreeHead, growth: Sequence[bytes]) -> None:
    """That `head` goes on from `before`, both verified and of one origin: not smaller, of one size
    the same, of a larger one by its proof.

    Raises Refused (NOT_COSIGNED) for a smaller one, which may be an old one of the same log,
    (LOG_FORKED) for another log.
    """
    if head.size < before.size:
        wanted = f"a head of {before.size} decisions or more, as was seen"
        raise Refused.of(Reason.NOT_COSIGNED, wanted, f"one of {head.size}", "framegate log show")
    if not consistent(before.size, before.root, head.size, head.root, growth):
        wanted = f"the log of {before.size} decisions with root {before.root.hex()[:16]}, grown"
        came = f"another of {head.size} with root {head.root.hex()[:16]}"
        raise Refused.of(Reason.LOG_FORKED, wanted, came, FORKED_HINT)
