"""A segment in the policy of a running controller, and what an enforcer reported of it."""

import time
from types import SimpleNamespace

from framegate.access.policy import default_files
from framegate.identity.certificates import Purpose
from framegate.segment.flow import FlowKey
from framegate.segment.policy import FILE
from framegate.segment.refusal import Told, Verdict, Why
from framegate.signed.report import SegmentReport
from framegate_controller.people.policies import apply_policy
from framegate_simulators.plant.segment_plan import segment_text
from support.reports import ReportRecorder, finding

ENFORCER, CAM1 = "enforcer.line-1.sw1", "camera.line-1.cam1"
FRAMES = FlowKey(Told(Verdict.ALLOW, "frames", Why.NONE), "cameras", "gateways", "tcp/7443")
FORGOTTEN = FlowKey(Told(Verdict.WOULD_DROP, "-", Why.NO_CONDUIT), "gateways", "plc", "tcp/502")
REFUSED = FlowKey(Told(Verdict.DROP, "frames", Why.TRUST_FROM), "cameras", "gateways", "tcp/7443")
DAY_MS = 86_400_000


def map_segment(walk) -> None:
    """The planned segment comes into force; frames passed eight days ago, and today a way that no
    conduit has was seen, and frames were refused.
    """
    with walk.store.writing() as tx:
        base = tx.policies.current().version
        files = {**default_files(), FILE: segment_text()}
        apply_policy(tx, walk.fleet, files, base=base, note="a segment")
    now = int(time.time() * 1000)
    running = SimpleNamespace(
        store=walk.store, keys=walk.fleet, fleet=walk.running.fleet, clock=lambda: now
    )
    recorder = ReportRecorder(running)
    signer = recorder.key(ENFORCER, Purpose.ENFORCER, "gateway-ca")
    seen = [
        finding(FRAMES.kind, CAM1, count=7, reason=FRAMES.text, at_ms=now - 8 * DAY_MS),
        finding(FORGOTTEN.kind, "", reason=FORGOTTEN.text, at_ms=now),
        finding(REFUSED.kind, CAM1, count=3, reason=REFUSED.text, at_ms=now),
    ]
    report = recorder.report(*seen, kind=SegmentReport, reporter=ENFORCER)
    recorder.take(report, by=signer, host=ENFORCER)
