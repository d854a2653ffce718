"""What a gateway, a line or an enforcer reports: findings, and which cameras' frames a gateway
accepted until when. Signed, numbered and chained as batches of receipts are, so that one left out
shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from framegate.errors import Malformed, Reason, Refused
from framegate.findings.kinds import MAX_COUNT, MAX_SAID, Finding
from framegate.identity.certificates import Purpose
from framegate.signed.statement import CLOCK_SLACK_MS, Statement

REPORTS_TOPIC: Final = "framegate/v1/lines/{line}/reports"
"""Where a line hands its reports to the gateways; `+` for `line` is every line's."""
TAKEN_TOPIC: Final = "framegate/v1/taken/{gateway}/{line}"
"""Where a gateway says that the controller has one, with the record's own proof."""
EVERY_MS: Final = 60_000
"""A reporter that has nothing to say says that so often: silence is then a finding."""
MAX_FINDINGS: Final = 64
MAX_ACCEPTED: Final = 256
"""Of one report: it stays below a log entry's 64 KiB. What is left goes with the next, at once."""
MAX_REPORT_BYTES: Final = 64 * 1024
_ACCEPTED: Final = frozenset({"device", "count", "last_ms"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """`count` frames of a camera that were inspected, the last of them at `last_ms`."""

    device: str
    count: int
    last_ms: int

    def body(self) -> dict[str, Any]:
        """As JSON values."""
        return {"device": self.device, "count": self.count, "last_ms": self.last_ms}

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Accepted:
        """What `body` wrote. Raises Malformed (REPORT)."""
        device, numbers = body.get("device"), (body.get("count"), body.get("last_ms"))
        if (
            set(body) != _ACCEPTED
            or type(device) is not str
            or not 0 < len(device) <= MAX_SAID
            or not all(type(n) is int and 0 < n <= MAX_COUNT for n in numbers)
        ):
            wanted = "a camera, a count and a time"
            raise Malformed.of(Reason.REPORT, wanted, ascii(str(dict(body)))[:120])
        return cls(**body)


@dataclass(frozen=True, slots=True)
class Report(Statement):
    """What `reporter` saw from `from_ms` to `closed_at_ms`. `previous` is the digest of the report
    before, in hex, empty for the first of a `store`.
    """

    reporter: str
    store: str
    number: int
    previous: str
    from_ms: int
    closed_at_ms: int
    findings: tuple[dict[str, Any], ...]
    accepted: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class GatewayReport(Report):
    """A gateway's, by its verdict key."""

    TYPE: ClassVar[str] = "application/vnd.framegate.gateway-report+json"
    PURPOSE: ClassVar[Purpose] = Purpose.VERDICT


@dataclass(frozen=True, slots=True)
class SegmentReport(Report):
    """An enforcer's, by the key of its certificate."""

    TYPE: ClassVar[str] = "application/vnd.framegate.segment-report+json"
    PURPOSE: ClassVar[Purpose] = Purpose.ENFORCER


@dataclass(frozen=True, slots=True)
class LineReport(Report):
    """A line adapter's."""

    TYPE: ClassVar[str] = "application/vnd.framegate.line-report+json"
    PURPOSE: ClassVar[Purpose] = Purpose.LINE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEnd:
    """What the next report of a store has to follow: number, digest (hex), end of its time."""

    number: int
    sha256: str
    closed_at_ms: int


def continues(report: Report, last: ReportEnd | None) -> None:
    """That `report` is the next after `last` of its store, or the first of a new one.

    1. number and previous follow on; 2. its time ends after it begins, and begins where the last
    one's ended, or later: a process that was away says so by the time that is missing.

    Raises Refused (REPORT): reports were left out, forked, or told twice in two ways.
    """
    number, previous = (1, "") if last is None else (last.number + 1, last.sha256)
    if (report.number, report.previous) != (number, previous):  # 1
        raise Refused.of(
            Reason.REPORT,
            f"report {number} after {previous[:16] or 'nothing'}",
            f"report {report.number} after {report.previous[:16] or 'nothing'}",
            "this reporter's reports were cut or forked; look into its host",
        )
    begins = last.closed_at_ms if last is not None else 0
    if not begins <= report.from_ms <= report.closed_at_ms:  # 2
        raise Refused.of(
            Reason.REPORT,
            f"a time from {begins} on",
            f"{report.from_ms} to {report.closed_at_ms}",
            "its host's clock went back; it is corrected by the next attestation",
        )


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What stands in a report, parsed."""

    findings: tuple[Finding, ...]
    accepted: tuple[Accepted, ...]


def content_of(report: Report) -> ReportContent:
    """What `report`, whose signature the caller MUST have verified, says.

    1. no more than `MAX_FINDINGS` and `MAX_ACCEPTED`, each with its members and in range;
    2. but a gateway nobody accepts frames; 3. nothing of it lies past the report's end.

    Raises Malformed (REPORT).
    """
    if len(report.findings) > MAX_FINDINGS or len(report.accepted) > MAX_ACCEPTED:  # 1
        wanted = f"at most {MAX_FINDINGS} findings and {MAX_ACCEPTED} cameras"
        seen = f"{len(report.findings)} and {len(report.accepted)}"
        raise Malformed.of(Reason.REPORT, wanted, seen)
    findings = tuple(map(Finding.parse, report.findings))
    accepted = tuple(map(Accepted.parse, report.accepted))
    if accepted and not isinstance(report, GatewayReport):  # 2
        wanted = "frames that a gateway accepted, and nobody else"
        raise Malformed.of(Reason.REPORT, wanted, len(accepted))
    latest = report.closed_at_ms + CLOCK_SLACK_MS
    times = [*(f.last_ms for f in findings), *(a.last_ms for a in accepted)]
    if max(times, default=0) > latest:  # 3
        raise Malformed.of(Reason.REPORT, f"nothing after {report.closed_at_ms}", "something")
    return ReportContent(findings, accepted)
