"""Where a verdict comes from: training manifest, model, gateway, frame, camera, evidence, profile,
policy, golden image, batch, log.
"""

from __future__ import annotations

import json
from typing import Any

from framegate.payload.contract import PICTURE_NAME
from framegate.signed.dsse import strict_json
from framegate.signed.receipt import parse_leaf
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.receipts.batch_rows import BatchRow, batch_of
from framegate_gateway.receipts.read import find
from framegate_gateway.receipts.store import ReceiptStore


def lineage(store: ReceiptStore, bundle: Bundle, identifier: str) -> dict[str, Any]:
    """The chain behind one verdict, by its id or unique beginning: each link with its digest. Two
    index look-ups, however many receipts there are.

    Raises Refused (NOT_FOUND).
    """
    row = find(store, identifier)
    claims = parse_leaf(row.leaf)
    fg = claims["fg"]
    with store.reading() as connection:
        batch = batch_of(connection, row.number)
        session = connection.execute(
            "SELECT count, head IS NOT NULL FROM sessions WHERE session = ?", (row.session,)
        ).fetchone()
    if row.kind != "verdict":
        return {
            "id": claims["cti"],
            "kind": "event",
            "event": {"event": "gap", **fg} if row.kind == "gap" else fg,
            "gateway": claims["iss"],
            "at_ms": claims["iat_ms"],
            "batch": _batch(batch),
        }
    # the manifest is shown only where it is the one this verdict's leaf names: a model that was
    # swapped since has another
    known = bool(bundle.training) and fg["training_sha256"] == bundle.training_sha256
    verdict = json.loads(row.payload)
    return {
        "id": claims["cti"],
        "kind": "verdict",
        "at_ms": claims["iat_ms"],
        "training": {
            "sha256": fg["training_sha256"],
            "manifest": strict_json(bundle.training) if known else None,
        },
        "model": {"id": claims["model_id"], "sha256": claims["model_hash"]},
        "gateway": {
            "id": claims["iss"],
            "result_id": fg["gateway_result_id"],
            "code_sha256": fg["code_sha256"],
        },
        "camera": {
            "id": fg["device"],
            "result_id": fg["result_id"],
            "evidence_sha256": claims["attestation_doc_hash"],
        },
        "firmware_profile": {
            "name": fg["firmware_profile"],
            "sha256": fg["firmware_profile_sha256"],
        },
        "policy": {"name": claims["policy_version"], "decision_sha256": fg["grant_sha256"]},
        "frame": {
            "sha256": claims["request_hash"],
            "payload_kind": fg.get("payload_kind", PICTURE_NAME),
            "part": fg["part"],
            "part_type": fg["part_type"],
            "trigger_sequence": fg["trigger_sequence"],
            "session": fg["session"],
            "counter": fg["counter"],
            "mask_version": fg["mask_version"],
            "mask_sha256": fg["mask_sha256"],
            "signed_by_camera": bool(session and session[1] and fg["counter"] < session[0]),
        },
        "golden": {"sha256": fg["golden_sha256"]},
        "verdict": {
            "outcome": fg["outcome"],
            "reason": fg["reason"],
            "defects": verdict["defects"],
            "inspected_percent": fg.get("inspected_percent"),
            "inspected_of": fg.get("inspected_of", "") or "picture",
            "sha256": claims["response_hash"],
        },
        "receipt": {"sequence_number": claims["sequence_number"], "batch": _batch(batch)},
    }


def _batch(batch: BatchRow | None) -> dict[str, Any] | None:
    if batch is None:
        return None
    body = strict_json(batch.payload)
    return {
        "number": batch.number,
        "root": body["root"],
        "recovered": bool(body["recovered"]),
        "log_index": batch.log["index"] if batch.log else None,
    }
