"""Reports of gateways and lines on their way into the record."""

from dataclasses import replace
from datetime import timedelta

import pytest

from framegate.findings.kinds import Finding, FindingKind
from framegate.identity.certificates import Purpose
from framegate.signed.report import GatewayReport, LineReport
from framegate.wire import sha256
from framegate_controller.record.reports import ReportDesk
from framegate_controller.store.shared.failures import InMemoryFailures
from support.batches import HOST, BatchRecorder

ZONE = "line-1"
CAMERA = "camera.line-1.cam1"
LINE = "line.press-7"


def finding(kind=FindingKind.FRAME_FROZEN, device=CAMERA, count=1, at_ms=1, **members):
    told = {"reason": "frame-frozen", "first_ms": at_ms, "last_ms": at_ms, **members}
    return Finding(kind=kind, device=device, count=count, **told)


class ReportRecorder:
    """A gateway (and a line) whose reports go into the record of a bench."""

    def __init__(self, bench) -> None:
        self.bench = bench
        self._keys = BatchRecorder(bench)
        self.signer = self._keys.key(HOST, life=timedelta(hours=9))
        self.line_signer = self._keys.key(LINE, Purpose.LINE, "broker-ca")
        self.desk = ReportDesk(bench.store, bench.fleet, InMemoryFailures())

    def key(self, *arguments):
        return self._keys.key(*arguments)

    def report(self, *findings, kind=GatewayReport, reporter=HOST, accepted=()):
        now = self.bench.clock()
        bodies = tuple(f.body() for f in findings)
        return kind(reporter, "store", 1, "", now, now, bodies, tuple(accepted))

    def next(self, report, *findings, **changes):
        now = max(self.bench.clock(), report.closed_at_ms)
        successor = replace(
            report,
            number=report.number + 1,
            previous=sha256(report.payload()).hex(),
            from_ms=report.closed_at_ms,
            closed_at_ms=now,
            findings=tuple(f.body() for f in findings),
            accepted=(),
        )
        return replace(successor, **changes)

    def take(self, report, by=None, host=HOST, zone=ZONE):
        by = by or (self.line_signer if isinstance(report, LineReport) else self.signer)
        return self.desk.take(host, zone, report.seal(by.der, by.sign))


@pytest.fixture
def reports(bench):
    return ReportRecorder(bench)
