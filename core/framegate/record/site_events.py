"""Events that gateways, lines and enforcers report, and events about their reporting."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from framegate.errors import Reason
from framegate.findings.kinds import Finding, FindingKind
from framegate.record.event import Audience, Event, Severity, event

REPORT_KIND: Final = "report"
"""`kind` of the entry that a report itself leaves in the record."""
SITE_SEVERITIES: Final = MappingProxyType(
    {
        FindingKind.KNOWN_ANSWER: Severity.HIGH,
        FindingKind.MODEL_REFUSED: Severity.HIGH,
        FindingKind.FRAME_REPLAYED: Severity.HIGH,
        FindingKind.FRAME_MANIPULATED: Severity.HIGH,
        FindingKind.CHILD_DIED: Severity.HIGH,
        FindingKind.LINE_STOP: Severity.HIGH,
        FindingKind.SEAL_REFUSED: Severity.MEDIUM,
        FindingKind.OPENING_REFUSED: Severity.MEDIUM,
        FindingKind.FRAME_FROZEN: Severity.HIGH,
        FindingKind.FRAME_COVERED: Severity.HIGH,
        FindingKind.UNINSPECTED_STREAK: Severity.MEDIUM,
        FindingKind.LINE_OUTPUT: Severity.MEDIUM,
        FindingKind.BROKER_TROUBLE: Severity.MEDIUM,
        FindingKind.FOLDED: Severity.MEDIUM,
        FindingKind.STORE_FILLING: Severity.MEDIUM,
        FindingKind.FRAME_EXPORTED: Severity.LOW,
        FindingKind.DATASET_EXPORTED: Severity.LOW,
        FindingKind.FRAME_DRIFTED: Severity.LOW,
        FindingKind.FRAME_QUALITY: Severity.LOW,
        FindingKind.SEGMENT_NOT_CUT: Severity.CRITICAL,
        FindingKind.SEGMENT_SPOOFED: Severity.HIGH,
        FindingKind.SEGMENT_REPAIRED: Severity.HIGH,
        FindingKind.SEGMENT_REFUSED: Severity.LOW,
        FindingKind.SEGMENT_WOULD_REFUSE: Severity.LOW,
        FindingKind.PILOT_STOP: Severity.MEDIUM,
        FindingKind.PILOT_WARNED: Severity.MEDIUM,
        FindingKind.PILOT_OBSERVED: Severity.LOW,
    }
)


@event(*(k.value for k in FindingKind), severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class SiteFinding(Event):
    """Something that a gateway, a line or an enforcer saw and reported; the event is named after
    its kind.

    `device` is the machine, or the reporter where it is about itself. Times are by the reporter's
    clock; `report` is the number of the report that told it, in the store `store`.
    """

    finding: Finding
    reporter: str
    store: str
    report: int

    @property
    def name(self) -> str:
        return self.finding.kind.value

    @property
    def severity(self) -> Severity:
        return SITE_SEVERITIES.get(self.finding.kind, self.DECLARED.severity)

    @property
    def detail(self) -> str:
        told = self.finding
        times = f", {told.count} times" if told.count > 1 else ""
        said = f": {told.said}" if told.said else ""
        return f"{told.reason}{times}, says {self.reporter}{said}"

    def members(self) -> dict[str, Any]:
        told = self.finding
        members = {
            "reporter": self.reporter,
            "store": self.store,
            "report": self.report,
            "reason": told.reason,
            "count": told.count,
            "first_ms": told.first_ms,
            "last_ms": told.last_ms,
            "said": told.said,
        }
        return {name: value for name, value in members.items() if value != ""}


@event("report-store-new", severity=Severity.MEDIUM, seen_by=Audience.ZONE)
class ReportStoreNew(Event):
    """A gateway or a line began a new chain of reports: what an earlier one had not handed over is
    on its old disk.
    """

    store: str

    @property
    def detail(self) -> str:
        return f"store {self.store}"


@event("report-refused", severity=Severity.HIGH, seen_by=Audience.ZONE)
class ReportRefused(Event):
    """What came as a report of this gateway or line was forged, cut or forked. `by` is the gateway
    that brought it.
    """

    reason: Reason
    what: str
    by: str
    count: int = 1

    @property
    def detail(self) -> str:
        times = f"{self.count} times " if self.count > 1 else ""
        return f"{times}{self.reason}, brought by {self.by}: {self.what}"


@event("report-withheld", severity=Severity.HIGH, seen_by=Audience.ZONE)
class ReportWithheld(Event):
    """No report of a gateway that is in standing, or of a line, for longer than three are due."""

    silent_s: int

    @property
    def detail(self) -> str:
        return f"no report for {self.silent_s} s"


@event("report-resumed", severity=Severity.LOW, seen_by=Audience.ZONE)
class ReportResumed(Event):
    """Reports come again from where they were withheld."""

    silent_s: int

    @property
    def detail(self) -> str:
        return f"after {self.silent_s} s"
