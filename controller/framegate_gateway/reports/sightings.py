"""What of a gateway's doings is something that somebody should know, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import FramegateError, Reason
from framegate.findings.kinds import FindingKind, kind_of
from framegate.looks.drift import DriftWatch
from framegate.looks.kinds import KINDS
from framegate_gateway.inference.inspection import Inspection
from framegate_host.reporting import Reporter

STREAK: Final = 5
"""UNINSPECTED verdicts of one camera in a row: one or two are a hand before the lens, or a camera
that changes gateways.
"""
MAX_CAMERAS: Final = 10_000
_KNOWN_TO_ALL: Final = frozenset({Reason.TRUST_FEED, Reason.NOT_TRUSTED})
"""Why an opening is refused where the gateway itself has no standing: the controller knows."""

_MODEL: Final = MappingProxyType(
    {"model-stopped": FindingKind.KNOWN_ANSWER, "model-refused": FindingKind.MODEL_REFUSED}
)


class Sightings:
    """One gateway's, on their way to its reporter. Names of cameras are established, or claimed
    over a broker by whoever has that camera's certificate.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._streaks: dict[str, int] = {}
        self._drift = DriftWatch()

    def inspected(self, device: str, at_ms: int) -> None:
        """A frame was inspected: what frames of this camera were not so far is over."""
        self._streaks.pop(device, None)
        self._reporter.accepted(device, at_ms)

    def uninspected(self, device: str, reason: Reason) -> None:
        """A frame that opened was refused, or could not be inspected."""
        kind = kind_of(reason)
        if kind is not None:
            self._reporter.saw(kind, reason, device)
        if len(self._streaks) >= MAX_CAMERAS and device not in self._streaks:
            self._streaks.clear()
        streak = self._streaks[device] = self._streaks.get(device, 0) + 1
        if streak % STREAK == 0:
            self._reporter.saw(FindingKind.UNINSPECTED_STREAK, reason, device)

    def looked_at(self, device: str, part_type: str, inspection: Inspection) -> None:
        """Second looks at a frame. A PASS that they withhold is told of as its verdict is
        (`uninspected`); what they say beside a DEFECT, and what drifts, here.
        """
        for past in inspection.suspicions if inspection.defects else ():
            self._reporter.saw(FindingKind.FRAME_MANIPULATED, past.reason, device, past.words)
        for drift in self._drift.see(device, part_type, inspection.limits, inspection.measured):
            reason = KINDS[drift.look].reason
            self._reporter.saw(FindingKind.FRAME_DRIFTED, reason, device, drift.words)

    def unanswered(self, device: str, reason: Reason) -> None:
        """Something came that did not open: replayed, or not this camera's."""
        kind = kind_of(reason) or FindingKind.SEAL_REFUSED
        self._reporter.saw(kind, reason, device)

    def exported(self, actor: str, frames: int, *, dataset: bool) -> None:
        """An operator, whose session stands, took so many frames out, and nobody had to approve."""
        kind = FindingKind.DATASET_EXPORTED if dataset else FindingKind.FRAME_EXPORTED
        self._reporter.saw(kind, actor, count=frames)

    def opening_refused(self, device: str, error: FramegateError) -> None:
        """A conversation ended before an opening was accepted."""
        if error.reason not in _KNOWN_TO_ALL:
            self._reporter.saw(FindingKind.OPENING_REFUSED, error.reason, device)

    def model(self, event: str, detail: Mapping[str, Any]) -> None:
        """A model deviated and was stopped, or a graph or bundle was refused; whatever else
        becomes of models is none.
        """
        kind = _MODEL.get(event)
        if kind is not None:
            self._reporter.saw(kind, str(detail["reason"]), said=str(detail["what"]))

    def child(self, kind: FindingKind, said: str) -> None:
        """The child that inspects died, or was confined anew."""
        self._reporter.saw(kind, Reason.INFERENCE, said=said)

    def filling(self, device: str, said: str) -> None:
        """A camera's receipts are nearly at their quota: the oldest of them go soon."""
        self._reporter.saw(FindingKind.STORE_FILLING, Reason.STORE_QUOTA, device, said)

    def broker(self, reason: Reason, said: str) -> None:
        """The broker went away, or is not one to use."""
        self._reporter.saw(FindingKind.BROKER_TROUBLE, reason, said=said)
