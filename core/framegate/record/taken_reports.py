"""Proof for a line that its report stands in the controller's record, whoever brought it there and
whoever brought the proof.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason, Refused
from framegate.receipt_verifier import leaf_hash, root_from_path
from framegate.record.site_events import REPORT_KIND
from framegate.record.verify import AuditRefused, LogAnchor, verify_head
from framegate.signed.dsse import strict_json
from framegate.signed.receipt import b64

MAX_TAKEN_BYTES: Final = 160 * 1024
"""An entry of 64 KiB in base64, a path of some forty hashes, a signed head."""


@dataclass(frozen=True, slots=True)
class TakenReport:
    """The entry `index` that tells of report `number`, whose payload has this digest (hex)."""

    number: int
    sha256: str
    index: int


def taken_message(entry: bytes, index: int, path: Sequence[bytes], checkpoint: bytes) -> bytes:
    """What a gateway hands a line: the record's entry of its report, and the proof."""
    body = {
        "entry": b64(entry),
        "index": index,
        "path": [b64(p) for p in path],
        "checkpoint": b64(checkpoint),
    }
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def verify_taken(message: bytes, reporter: str, anchor: LogAnchor) -> TakenReport:
    """Which report of `reporter` is in the record. The caller MUST compare the digest with that of
    its own report of this number.

    1. it has its members;
    2. the head is signed by the log's key of this fleet;
    3. the entry stands under that head;
    4. it tells of a report of `reporter`.

    Raises Malformed or Refused (REPORT).
    """
    parts = _parts(message)  # 1
    try:
        head = verify_head(parts.checkpoint, anchor)  # 2
        root = root_from_path(leaf_hash(parts.entry), parts.index, head.size, parts.path)
    except (AuditRefused, ValueError) as error:
        wanted = "an entry under a head by this fleet's log key"
        raise Refused.of(Reason.REPORT, wanted, ascii(str(error))[:120]) from error
    if root.hex() != head.root:  # 3
        raise Refused.of(Reason.REPORT, f"entry {parts.index} under the head", "another")
    body = strict_json(parts.entry)
    if body.get("kind") != REPORT_KIND or body.get("reporter") != reporter:  # 4
        seen = f"{body.get('kind')!a} of {body.get('reporter')!a}"[:120]
        raise Refused.of(Reason.REPORT, f"the entry of a report of {reporter}", seen)
    return TakenReport(int(body["number"]), str(body["report_sha256"]), parts.index)


@dataclass(frozen=True, slots=True)
class _Parts:
    entry: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


def _parts(message: bytes) -> _Parts:
    if len(message) > MAX_TAKEN_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_TAKEN_BYTES} bytes", len(message))
    body = strict_json(message)
    try:
        if set(body) != {"entry", "index", "path", "checkpoint"} or type(body["index"]) is not int:
            raise ValueError("other members")
        path = tuple(b64decode(p, validate=True) for p in body["path"])
        entry, checkpoint = (b64decode(body[n], validate=True) for n in ("entry", "checkpoint"))
        return _Parts(entry, body["index"], path, checkpoint)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wanted = "entry, index, path and checkpoint"
        raise Malformed.of(Reason.REPORT, wanted, type(error).__name__) from error
