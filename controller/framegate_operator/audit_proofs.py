"""Proofs that an entry stands in the audit log (RFC 9162): as a file, and verified."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from framegate.errors import Reason, Refused
from framegate.receipt_verifier import leaf_hash, root_from_path
from framegate.record.verify import AuditRefused, LogAnchor, verify_head
from framegate.signed.receipt import Checkpoint
from framegate_proto.v1 import framegate_pb2 as pb

PROOF_FORMAT = "framegate-audit-proof-1"


def proof_json(reply: pb.ProveLogReply) -> dict[str, Any]:
    """What a proof's file says, but for its format; `restorations` where there were some since."""
    restored = {"restorations": [json.loads(r) for r in reply.restorations]}
    return {
        **(restored if reply.restorations else {}),
        "index": reply.index,
        "entry": base64.b64encode(reply.entry).decode(),
        "path": [p.hex() for p in reply.path],
        "checkpoint": json.loads(reply.checkpoint),
        "growth": [p.hex() for p in reply.growth],
    }


def proved_head(reply: pb.ProveLogReply, anchor: LogAnchor) -> Checkpoint:
    """The signed head under which the entry stands. Raises Refused where it does not."""
    try:
        head = verify_head(reply.checkpoint, anchor)
        if (
            root_from_path(leaf_hash(reply.entry), reply.index, head.size, list(reply.path)).hex()
            != head.root
        ):
            raise AuditRefused("root", reply.index, "the entry is not in the log that was signed")
    except (AuditRefused, ValueError) as error:
        raise Refused.of(
            Reason.AUDIT,
            "an entry that the controller can prove",
            str(error),
            "framegate audit export --out FILE, and verify it",
        ) from error
    return head


def verify_proof(file: Path, anchor: LogAnchor) -> dict[str, Any]:
    """The entry that a proof's file proves. Raises AuditRefused."""
    try:
        body = json.loads(file.read_text())
        if body["format"] != PROOF_FORMAT:
            raise ValueError(body["format"])
        entry, index, path = (
            base64.b64decode(body["entry"], validate=True),
            int(body["index"]),
            [bytes.fromhex(p) for p in body["path"]],
        )
        envelope = json.dumps(body["checkpoint"], separators=(",", ":")).encode()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AuditRefused(
            "format", -1, f"expected an export or a proof, got {type(error).__name__}"
        ) from error
    head = verify_head(envelope, anchor)
    try:
        good = root_from_path(leaf_hash(entry), index, head.size, path).hex() == head.root
    except ValueError as error:
        raise AuditRefused("root", index, str(error)) from error
    if not good:
        raise AuditRefused(
            "root", index, "this entry is not at its place in the log that was signed"
        )
    proven: dict[str, Any] = json.loads(entry)
    return proven
