"""The closed list of what gateways, lines and enforcers report, and one such thing seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import Malformed, Reason

MAX_SAID: Final = 200
"""Characters of what a finding says in words; it is its reporter's word and never parsed."""
MAX_COUNT: Final = 2**53
"""What every reader of JSON counts exactly (RFC 8259, 6)."""


class FindingKind(StrEnum):
    """What was seen. Values are names of events in the record: they never change."""

    KNOWN_ANSWER = "known-answer-deviated"
    MODEL_REFUSED = "model-refused"
    FRAME_REPLAYED = "frame-replayed"
    FRAME_MANIPULATED = "frame-manipulated"
    SEAL_REFUSED = "seal-refused"
    OPENING_REFUSED = "opening-refused"
    CHILD_DIED = "child-died"
    CHILD_CONFINED = "child-confined"
    FRAME_FROZEN = "frame-frozen"
    FRAME_COVERED = "frame-covered"
    UNINSPECTED_STREAK = "uninspected-streak"
    LINE_STOP = "line-stop-asked"
    LINE_OUTPUT = "line-output-refused"
    BROKER_TROUBLE = "broker-trouble"
    SEGMENT_NOT_CUT = "segment-not-cut"
    SEGMENT_SPOOFED = "segment-spoofed"
    SEGMENT_REPAIRED = "segment-repaired"
    SEGMENT_CUT = "segment-cut"
    FRAME_EXPORTED = "frame-exported"
    DATASET_EXPORTED = "dataset-exported"
    FRAME_DRIFTED = "frame-drifted"
    FRAME_QUALITY = "frame-quality"
    STORE_FILLING = "store-filling"
    SEGMENT_REFUSED = "segment-refused"
    SEGMENT_WOULD_REFUSE = "segment-would-refuse"
    SEGMENT_FLOW = "segment-flow"
    SEGMENT_ADMITTED = "segment-admitted"
    SEGMENT_WITHDRAWN = "segment-withdrawn"
    PILOT_STOP = "pilot-stop"
    PILOT_WARNED = "pilot-warned"
    PILOT_OBSERVED = "pilot-observed"
    PILOT_PASSED = "pilot-passed"
    FOLDED = "findings-folded"


EXPORTS: Final = frozenset({FindingKind.FRAME_EXPORTED, FindingKind.DATASET_EXPORTED})
"""Frames that left without anybody's approval: `count` of them, and the reason is who took them."""
URGENCY: Final = MappingProxyType({kind: n for n, kind in enumerate(FindingKind)})
"""What a report with too little room takes first: the order of the declaration."""
_KINDS: Final = MappingProxyType(
    {
        Reason.FRAME_FROZEN: FindingKind.FRAME_FROZEN,
        Reason.IMAGE_COVERED: FindingKind.FRAME_COVERED,
        Reason.FRAME_REPLAYED: FindingKind.FRAME_REPLAYED,
        Reason.OPENING_REPLAYED: FindingKind.OPENING_REFUSED,
        Reason.OPENING: FindingKind.OPENING_REFUSED,
        Reason.FRAME_AUTHENTICATION: FindingKind.SEAL_REFUSED,
        Reason.FRAME_SESSION: FindingKind.SEAL_REFUSED,
        Reason.FRAME_LABEL: FindingKind.SEAL_REFUSED,
        Reason.FRAME_HEAD: FindingKind.SEAL_REFUSED,
        Reason.FRAME_TOO_LARGE: FindingKind.SEAL_REFUSED,
        Reason.IMAGE_EXPOSURE: FindingKind.FRAME_QUALITY,
        Reason.IMAGE_DEFOCUS: FindingKind.FRAME_QUALITY,
        Reason.IMAGE_CONTRAST: FindingKind.FRAME_QUALITY,
        Reason.RESIDUAL_UNEXPLAINED: FindingKind.FRAME_MANIPULATED,
        Reason.DETECTION_GROUNDLESS: FindingKind.FRAME_MANIPULATED,
        Reason.DETECTION_NEAR: FindingKind.FRAME_MANIPULATED,
        Reason.ANSWER_UNSTEADY: FindingKind.FRAME_MANIPULATED,
        Reason.HIGH_FREQUENCY: FindingKind.FRAME_MANIPULATED,
        Reason.HIGH_FREQUENCY_BLOCK: FindingKind.FRAME_MANIPULATED,
        Reason.COARSE_GRAIN: FindingKind.FRAME_MANIPULATED,
        Reason.NOISE_MISSING: FindingKind.FRAME_MANIPULATED,
        Reason.GOLDEN_COPY: FindingKind.FRAME_MANIPULATED,
        Reason.SCENE_REPLAYED: FindingKind.FRAME_MANIPULATED,
        Reason.CAMERA_FOREIGN: FindingKind.FRAME_MANIPULATED,
        Reason.REGISTRATION: FindingKind.FRAME_QUALITY,
        Reason.OUT_OF_PLACE: FindingKind.FRAME_QUALITY,
        Reason.IMAGE: FindingKind.FRAME_QUALITY,
        Reason.INSPECTED_SHARE: FindingKind.FRAME_QUALITY,
        Reason.KNOWN_ANSWER: FindingKind.KNOWN_ANSWER,
        Reason.MODEL: FindingKind.MODEL_REFUSED,
        Reason.MODEL_GRAPH: FindingKind.MODEL_REFUSED,
        Reason.MODEL_SIGNATURE: FindingKind.MODEL_REFUSED,
        Reason.MODEL_ROLLBACK: FindingKind.MODEL_REFUSED,
    }
)


def kind_of(reason: Reason) -> FindingKind | None:
    """What a frame refused for `reason` is; None where it is nothing to report by itself: a streak
    of them is.
    """
    return _KINDS.get(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`count` things of one kind, of one device (empty: the reporter itself), for one reason, from
    `first_ms` to `last_ms` by the reporter's clock. `said` is about the first of them.
    """

    kind: FindingKind
    device: str
    reason: str
    count: int
    first_ms: int
    last_ms: int
    said: str = ""

    def body(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "kind": self.kind.value}

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Finding:
        """What `body` wrote; nobody is believed by this. Raises Malformed (REPORT)."""
        try:
            finding = cls(**{**body, "kind": FindingKind(body["kind"])})
        except (KeyError, TypeError, ValueError) as error:
            wanted = "a finding of a known kind, with its members"
            raise Malformed.of(Reason.REPORT, wanted, ascii(str(error))[:80]) from error
        texts = (finding.device, finding.reason, finding.said)
        numbers = (finding.count, finding.first_ms, finding.last_ms)
        if (
            not all(type(t) is str and len(t) <= MAX_SAID for t in texts)
            or not all(type(n) is int and 0 <= n <= MAX_COUNT for n in numbers)
            or finding.count < 1
            or finding.first_ms > finding.last_ms
        ):
            wanted = f"texts of at most {MAX_SAID} characters, a count, and two times in order"
            raise Malformed.of(Reason.REPORT, wanted, ascii(str(dict(body)))[:120])
        return finding
