"""Gateways', lines' and enforcers' signed reports on their way into the record: verified, in order,
each once, each finding an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.findings.kinds import Finding
from framegate.identity.certificates import common_name, from_ms, while_alive
from framegate.identity.names import Kind, split_device_id
from framegate.record.site_events import (
    REPORT_KIND,
    ReportRefused,
    ReportResumed,
    ReportStoreNew,
    SiteFinding,
)
from framegate.registry.model import ReportEntry, ReporterSeen
from framegate.signed.dsse import envelope_certificate, envelope_type, parse_envelope
from framegate.signed.report import (
    MAX_REPORT_BYTES,
    GatewayReport,
    LineReport,
    Report,
    ReportContent,
    ReportEnd,
    SegmentReport,
    content_of,
    continues,
)
from framegate.signed.statement import CLOCK_SLACK_MS
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.context import Fleet
from framegate_controller.record.ledger import LogProof, prove
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.store.shared.failures import FailureFold, FailureKind
from framegate_host.token_buckets import Rate, TokenBuckets

R = TypeVar("R", bound=Report)
KEEP: Final = 20_000
"""Reports of a store that are known by their number, some two weeks: more than a reporter keeps."""
RATE: Final = Rate(burst=64, per_s=1.0)
"""Reports of one gateway or line: a backlog at once, then one a second, which is what one makes
that has something new to tell all the time.
"""
HOST_RATE: Final = Rate(burst=256, per_s=8.0)
"""Reports that one gateway or enforcer brings, whoever they say they are of: its own, and those of
the lines of its zone. Names are free to make up.
"""
MAX_REPORTERS: Final = 10_000
LINE_PREFIX: Final = "line."
_KINDS: Final[Mapping[str, type[Report]]] = {
    k.TYPE: k for k in (GatewayReport, LineReport, SegmentReport)
}


@dataclass(frozen=True, slots=True)
class _Verified:
    """A report whose signature holds, what it says, and from when to when its signer's certificate
    counts.
    """

    report: Report
    payload: bytes
    content: ReportContent
    begins_ms: int
    ends_ms: int


def record_report(
    tx: Transaction, keys: FleetKeys, host: str, zone: str, envelope: bytes
) -> LogProof:
    """Put a report into the record, each of its findings as an event, and prove it. `host`, a
    gateway that stands or an enforcer, in `zone`, brings it.

    1. the envelope is a report of at most `MAX_REPORT_BYTES`, signed by a verdict key, a line's
       or an enforcer's key of this fleet, closed while its certificate lived and not in the future;
    2. reporter and signer are one; a gateway and an enforcer bring their own, and any gateway a
       line's;
    3. its members hold (`content_of`), and a gateway or an enforcer speaks of itself and of
       machines of its zone alone, a line of itself alone;
    4. recorded before with the same bytes: the same entry, proved anew, and nothing else;
    5. it continues its store's chain (`continues`): what was cut, forked or made up shows.

    Raises Malformed or Refused.
    """
    verified = _verified(keys, host, zone, envelope, tx.now_ms)  # 1, 2, 3
    report, digest = verified.report, sha256(verified.payload)
    known = tx.reports.get(report.reporter, report.store, report.number)
    if known is not None and known.sha256 == digest:  # 4
        return prove(tx, keys, known.log_index)
    last = tx.reports.last(report.reporter, report.store)
    continues(report, _end(last) if last is not None else None)  # 5
    index = tx.log.append(_entry(verified, host, tx.now_ms))
    if last is None:
        tx.record(ReportStoreNew(device=report.reporter, store=report.store), by=report.reporter)
    entry = ReportEntry(
        reporter=report.reporter,
        store=report.store,
        number=report.number,
        sha256=digest,
        closed_at_ms=report.closed_at_ms,
        log_index=index,
    )
    tx.reports.add(entry, KEEP)
    for finding in verified.content.findings:
        tx.record(_event(report, finding), by=report.reporter)
    _heard(tx, report.reporter)
    return prove(tx, keys, index)


class ReportDesk:
    """Takes reports from gateways: so many of each reporter and of whoever brings them, and what is
    refused leaves an event, one a minute and reporter.
    """

    def __init__(self, store: Store, fleet: Fleet, refusals: FailureFold) -> None:
        self._store, self._fleet, self._refusals = store, fleet, refusals
        self._rates: TokenBuckets[str] = TokenBuckets(RATE, MAX_REPORTERS)
        self._hosts: TokenBuckets[str] = TokenBuckets(HOST_RATE, MAX_REPORTERS)

    def take(self, host: str, zone: str, envelope: bytes) -> LogProof:
        """See `record_report`. Raises also Refused (TOO_MANY_TRIES), of one who brings too many
        before anything is read or written.
        """
        if not self._hosts.take(host, self._fleet.clock()):
            raise _Busy.of(
                Reason.TOO_MANY_TRIES, "eight reports a second from here", "more", "wait"
            )
        claimed = _claimed(envelope)
        try:
            with self._store.writing() as tx:
                if not self._rates.take(f"{host} {claimed}", tx.now_ms):
                    raise _Busy.of(Reason.TOO_MANY_TRIES, "a report a second", "more", "wait")
                return record_report(tx, self._fleet.keys, host, zone, envelope)
        except _Busy:
            raise
        except FramegateError as error:
            self._refused(host, claimed, error)
            raise

    def _refused(self, host: str, claimed: str, error: FramegateError) -> None:
        kind = FailureKind(error.reason.value, claimed, host)
        with self._store.writing() as tx:
            if self._refusals.add(kind, tx.now_ms):
                what = f"{error.failures[0].expected}; got {error.failures[0].actual}"[:200]
                tx.record(_refusal(tx, kind, what, 1))

    def tell_counted(self) -> tuple[()]:
        """Record what was refused more often than was told."""
        with self._store.reading() as tx:
            counted = self._refusals.due(tx.now_ms)
        if counted:
            with self._store.writing() as tx:
                for each in counted:
                    tx.record(_refusal(tx, each.kind, "more of the same", each.count))
        return ()


def _refusal(tx: Transaction, kind: FailureKind, what: str, count: int) -> ReportRefused:
    """About whom the report claims to be of, where that is a reporter; else about its bringer."""
    whose = kind.whom if kind.whom and tx.reports.seen(kind.whom) is not None else kind.prefix
    reason = Reason(kind.what)
    return ReportRefused(device=whose, reason=reason, what=what, by=kind.prefix, count=count)


class _Busy(Refused):
    """Too many at once: nothing that has to be recorded."""


def _verified(keys: FleetKeys, host: str, zone: str, envelope: bytes, now_ms: int) -> _Verified:
    if len(envelope) > 2 * MAX_REPORT_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, "a report", f"{len(envelope)} bytes")
    kind = _KINDS.get(envelope_type(envelope), GatewayReport)
    payload = parse_envelope(envelope, kind.TYPE).payload
    report, name = _signed(kind, keys, envelope, now_ms)  # 1
    whose = f"{LINE_PREFIX}{report.reporter.removeprefix(LINE_PREFIX)}"
    wanted = whose if kind is LineReport else host
    if report.reporter != wanted or name != wanted:  # 2
        seen = f"one of {report.reporter[:100]!a}, signed by {name}"
        raise Refused.of(Reason.REPORT, f"a report of {wanted[:100]!a}", seen)
    content = content_of(report)  # 3
    named = {f.device for f in content.findings} | {a.device for a in content.accepted}
    for device in named - {""}:
        if kind is LineReport or not _in_zone(device, zone):
            wanted = "findings about itself" if kind is LineReport else f"machines of zone {zone}"
            raise Refused.of(Reason.REPORT, wanted, ascii(device)[:100])
    certificate = envelope_certificate(parse_envelope(envelope, kind.TYPE))
    life = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    begins_ms, ends_ms = (int(at.timestamp() * 1000) for at in life)
    return _Verified(report, payload, content, begins_ms, ends_ms)


def _signed(kind: type[R], keys: FleetKeys, envelope: bytes, now_ms: int) -> tuple[R, str]:
    certificate = envelope_certificate(parse_envelope(envelope, kind.TYPE))
    born, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    report, signer = kind.verify(
        envelope,
        keys.intermediates,
        keys.root.certificate,
        while_alive(certificate, from_ms(now_ms)),
    )
    closed = report.closed_at_ms
    if not born <= from_ms(closed) <= ends or closed > now_ms + CLOCK_SLACK_MS:
        wanted = "a report closed in the past, while its signer's certificate lived"
        raise Refused.of(Reason.REPORT, wanted, f"closed at {closed}, now {now_ms}")
    return report, common_name(signer, Reason.REPORT)


def _in_zone(device: str, zone: str) -> bool:
    try:
        return split_device_id(device).zone == zone
    except FramegateError:
        return False


def _end(last: ReportEntry) -> ReportEnd:
    return ReportEnd(number=last.number, sha256=last.sha256.hex(), closed_at_ms=last.closed_at_ms)


def _entry(verified: _Verified, host: str, at_ms: int) -> dict[str, object]:
    report, content = verified.report, verified.content
    return {
        "kind": REPORT_KIND,
        "device": report.reporter,
        "reporter": report.reporter,
        "store": report.store,
        "number": report.number,
        "from_ms": report.from_ms,
        "closed_at_ms": report.closed_at_ms,
        "findings": len(content.findings),
        "accepted": [a.body() for a in content.accepted],
        "report_sha256": sha256(verified.payload).hex(),
        "certificate_begins_ms": verified.begins_ms,
        "certificate_ends_ms": verified.ends_ms,
        "brought_by": host,
        "at_ms": at_ms,
    }


def _event(report: Report, finding: Finding) -> SiteFinding:
    return SiteFinding(
        device=finding.device or report.reporter,
        finding=finding,
        reporter=report.reporter,
        store=report.store,
        report=report.number,
    )


def _heard(tx: Transaction, reporter: str) -> None:
    before = tx.reports.seen(reporter)
    if before is not None and before.silent:
        silent_s = (tx.now_ms - before.heard_ms) // 1000
        tx.record(ReportResumed(device=reporter, silent_s=silent_s), by=reporter)
    tx.reports.put_seen(ReporterSeen(reporter=reporter, heard_ms=tx.now_ms, silent=False))


def _claimed(envelope: bytes) -> str:
    """Whose report it says it is: a stranger's word, for counting alone."""
    try:
        payload = parse_envelope(envelope, envelope_type(envelope)).payload
        return str(GatewayReport.parse_payload(payload).reporter)[:200]
    except FramegateError:
        return ""


def is_gateway(reporter: str) -> bool:
    """Whether a reporter's name is a gateway's, not a line's."""
    return reporter.startswith(f"{Kind.GATEWAY.value}.")
