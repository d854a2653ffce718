"""Receipts: the leaf that is durable before a verdict leaves, the batch that signs many leaves at
once, and the log that dates batches.

What a receipt proves, and how, stands in `receipt_verifier`, which needs none of this. Claim names
follow the IETF draft on attested inference receipts (model_hash, request_hash, response_hash,
attestation_doc_hash, …) where that has one; Framegate's own stand under `fg`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Self

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.receipt_verifier import BATCH_TYPE, CHECKPOINT_TYPE, FORMAT, PROFILE_1, PROFILE_2
from framegate.signed.dsse import strict_json
from framegate.signed.statement import Statement, Verdict
from framegate.wire import FrameMetadata, sha256

EAT_PROFILE: Final = PROFILE_2
_PROFILES: Final = frozenset({PROFILE_1, PROFILE_2})
"""Leaves that a store may hold."""
MAX_BATCH: Final = 4096
"""Leaves of one batch: a path of twelve steps."""


@dataclass(frozen=True, slots=True)
class ReceiptBatch(Statement):
    """A gateway's signature over `count` leaves from sequence number `first` on. `previous` is the
    digest of the batch before, in hex, empty for the first of a `store`; `recovered` is 1 where a
    process signs what another left behind.
    """

    gateway: str
    store: str
    number: int
    first: int
    count: int
    root: str
    previous: str
    recovered: int
    closed_at_ms: int

    TYPE: ClassVar[str] = BATCH_TYPE
    PURPOSE: ClassVar[Purpose] = Purpose.VERDICT


@dataclass(frozen=True, slots=True)
class Checkpoint(Statement):
    """The head of the controller's log (RFC 9162, 4.10 signed tree head, as DSSE).

    `restorations` is how often the registry began again from a backup; the member is absent until
    it did for the first time.
    """

    fleet: str
    size: int
    root: str
    at_ms: int
    restorations: int = 0

    TYPE: ClassVar[str] = CHECKPOINT_TYPE
    PURPOSE: ClassVar[Purpose] = Purpose.LOG

    def payload(self) -> bytes:
        """See `Statement.payload`."""
        body = asdict(self)
        return _canonical(body if self.restorations else _without(body, "restorations"))

    @classmethod
    def parse_payload(cls, payload: bytes) -> Self:
        """See `Statement.parse_payload`; there is one way to say that there was no restoration."""
        body = strict_json(payload)
        if type(body) is dict and "restorations" not in body:
            payload = _canonical({**body, "restorations": 0})
        elif type(body) is dict and body["restorations"] == 0:
            raise Malformed.of(Reason.ENVELOPE, "no restorations, or 1 and more", 0)
        parsed = super(Checkpoint, cls).parse_payload(payload)
        if parsed.restorations < 0 or parsed.size < 0:
            raise Malformed.of(Reason.ENVELOPE, "a size and a count", (parsed.size, "negative"))
        return parsed


UNGUARDED: Final = "pixels replaced before the frame was sealed"
"""What no second look finds: whoever writes sound pixels over a defect before the camera's agent
seals the frame. Only sealing near the sensor answers it, and a receipt says so.
"""


@dataclass(frozen=True, slots=True)
class BackendResult:
    """A model server's signed result as a leaf has it: the envelope, and the issuing CAs (DER) that
    its certificate is verified with.
    """

    envelope: bytes
    authorities: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What stands behind a frame beside its verdict, for the leaf: digests in hex, empty where
    there is nothing.
    """

    evidence_sha256: str = ""
    firmware_profile: str = ""
    firmware_profile_sha256: str = ""
    gateway_result_id: str = ""
    policy: str = ""
    grant_sha256: str = ""
    model_id: str = ""
    code_sha256: str = ""
    mask_sha256: str = ""
    training_sha256: str = ""
    isolation: str = ""
    """How the process that decoded the frame is confined, in words."""
    provider: str = ""
    """By which execution provider of the runtime the network ran; empty where it ran elsewhere."""
    guarded_by: tuple[str, ...] = ()
    """Second looks that the frame was held against, by name."""
    backend: BackendResult | None = None
    """What an attested model server signed; None where the network ran elsewhere."""


def verdict_leaf(
    number: int,
    verdict: Verdict,
    payload: bytes,
    metadata: bytes,
    behind: Provenance,
    took_ms: float,
    *,
    mask_version: int | None = None,
) -> bytes:
    """The leaf of a verdict: canonical JSON. `payload` is the verdict's signed JSON, `metadata` the
    frame's record or empty; `mask_version` is what that says, for a caller that has parsed it.
    """
    if mask_version is None:
        mask_version = FrameMetadata.parse(metadata).mask_version if metadata else 0
    fg = {
        "device": verdict.device,
        "zone": verdict.zone,
        "part": verdict.part,
        "part_type": verdict.part_type,
        "trigger_sequence": verdict.trigger_sequence,
        "session": verdict.session,
        "counter": verdict.counter,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "result_id": verdict.result_id,
        "golden_sha256": verdict.golden_sha256,
        "inspected_percent": verdict.inspected_percent,
        "frame_metadata_sha256": sha256(metadata).hex() if metadata else "",
        "mask_version": mask_version,
        "firmware_profile": behind.firmware_profile,
        "firmware_profile_sha256": behind.firmware_profile_sha256,
        "gateway_result_id": behind.gateway_result_id,
        "grant_sha256": behind.grant_sha256,
        "code_sha256": behind.code_sha256,
        "mask_sha256": behind.mask_sha256,
        "training_sha256": behind.training_sha256,
        "isolation": behind.isolation,
    }
    if verdict.inspected_of:  # as in the verdict: of the picture where nothing is said
        fg["inspected_of"] = verdict.inspected_of
    if verdict.stage:
        fg["stage"] = verdict.stage
    if verdict.payload_kind:  # as in the verdict: a picture where nothing is said
        fg["payload_kind"] = verdict.payload_kind
    if behind.provider:  # leaves of a network elsewhere, and of before, have none
        fg["provider"] = behind.provider
    if behind.guarded_by:
        fg["guarded_by"] = list(behind.guarded_by)
        fg["guards_not_against"] = UNGUARDED
    if behind.backend is not None:
        signed = behind.backend
        told = {
            "envelope": b64(signed.envelope),
            "authorities": [b64(a) for a in signed.authorities],
        }
        fg["backend"] = told
    return _canonical(
        {
            "eat_profile": EAT_PROFILE,
            "kind": "verdict",
            "iss": verdict.gateway,
            "cti": verdict.verdict_id,
            "iat_ms": verdict.issued_at_ms,
            "sequence_number": number,
            "model_id": behind.model_id,
            "model_hash": verdict.model_sha256,
            "request_hash": verdict.input_sha256,
            "response_hash": sha256(payload).hex(),
            "attestation_doc_hash": behind.evidence_sha256,
            "policy_version": behind.policy,
            "execution_time_ms": round(took_ms, 2),
            "fg": fg,
        }
    )


@dataclass(frozen=True, slots=True)
class TriggerGap:
    """Triggers of one source that no frame came for: `count` of those from `first` to `last`, both
    included. `session` (hex) is the one whose frame showed the first of them missing.
    """

    device: str
    source: str
    first: int
    last: int
    count: int
    session: str


def gap_leaf(
    number: int, identifier: str, gateway: str, zone: str, at_ms: int, gap: TriggerGap
) -> bytes:
    """The leaf of a gap: one, however many triggers it spans, each of them UNINSPECTED."""
    body = {
        "eat_profile": EAT_PROFILE,
        "kind": "gap",
        "iss": gateway,
        "cti": identifier,
        "iat_ms": at_ms,
        "sequence_number": number,
    }
    fg = {**asdict(gap), "zone": zone, "outcome": "UNINSPECTED", "reason": Reason.FRAME_GAP.value}
    return _canonical({**body, "fg": fg})


def event_leaf(
    number: int,
    identifier: str,
    gateway: str,
    at_ms: int,
    event: str,
    actor: str,
    detail: Mapping[str, Any],
) -> bytes:
    """The leaf of something else that a gateway must account for: an export, a refused export, an
    erasure.
    """
    body = {
        "eat_profile": EAT_PROFILE,
        "kind": "event",
        "iss": gateway,
        "cti": identifier,
        "iat_ms": at_ms,
        "sequence_number": number,
    }
    return _canonical({**body, "fg": {"event": event, "actor": actor, **detail}})


@dataclass(frozen=True, slots=True)
class PlaceInBatch:
    """Where a leaf stands: the batch's envelope, the leaf's index in it, and its inclusion path."""

    envelope: bytes
    index: int
    path: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class PlaceUnderHead:
    """Where a frame stands under a head that its camera signed with the key of `certificate` (DER),
    and its inclusion path.
    """

    certificate: bytes
    head: bytes
    signature: bytes
    path: Sequence[bytes]


def assemble(
    leaf: bytes,
    payload: bytes,
    metadata: bytes,
    batch: PlaceInBatch,
    camera: PlaceUnderHead | None,
    log: Mapping[str, Any] | None,
    authorities: Sequence[bytes],
) -> dict[str, Any]:
    """A receipt as JSON values; `camera` is None where the camera has not signed yet."""
    return {
        "format": FORMAT,
        "leaf": b64(leaf),
        "verdict": b64(payload),
        "metadata": b64(metadata),
        "batch": {
            "envelope": b64(batch.envelope),
            "index": batch.index,
            "path": [b64(p) for p in batch.path],
        },
        "camera": None
        if camera is None
        else {
            "certificate": b64(camera.certificate),
            "head": b64(camera.head),
            "signature": b64(camera.signature),
            "path": [b64(p) for p in camera.path],
        },
        "log": None if log is None else dict(log),
        "authorities": [b64(a) for a in authorities],
    }


def log_body(batch: ReceiptBatch, payload: bytes, at_ms: int) -> dict[str, Any]:
    """What the controller's log keeps of a batch, beside its place."""
    return {
        "kind": "receipt-batch",
        "gateway": batch.gateway,
        "store": batch.store,
        "number": batch.number,
        "first": batch.first,
        "count": batch.count,
        "recovered": batch.recovered,
        "batch_sha256": sha256(payload).hex(),
        "at_ms": at_ms,
    }


def continues(batch: ReceiptBatch, last: ReceiptBatch | None, last_sha256: str) -> None:
    """That `batch` is the next after `last` of the same store, or the first of a new store.

    1. it has 1 to `MAX_BATCH` leaves;
    2. number, first and previous follow on.

    Raises Refused (RECEIPT): the gateway's store was cut or forked.
    """
    if not 1 <= batch.count <= MAX_BATCH:
        raise Refused.of(Reason.RECEIPT, f"1 to {MAX_BATCH} leaves", batch.count)
    want = (1, 1, "") if last is None else (last.number + 1, last.first + last.count, last_sha256)
    if (batch.number, batch.first, batch.previous) != want:
        raise Refused.of(
            Reason.RECEIPT,
            f"batch {want[0]} from leaf {want[1]} on after {want[2][:16] or 'nothing'}",
            f"batch {batch.number} from {batch.first}, after {batch.previous[:16]}",
            "this gateway's receipts were cut or forked; look into its host",
        )


def parse_leaf(leaf: bytes) -> dict[str, Any]:
    """The claims of a leaf of one's own store. Raises Malformed."""
    claims = strict_json(leaf)
    if type(claims) is not dict or claims.get("eat_profile") not in _PROFILES:
        raise Malformed.of(Reason.RECEIPT, f"a leaf of {EAT_PROFILE}", type(claims).__name__)
    return claims


def b64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def _without(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in body.items() if k != name}


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
