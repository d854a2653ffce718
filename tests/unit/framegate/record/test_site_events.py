"""What reports leave in the record."""

import pytest

from framegate.errors import Malformed
from framegate.findings.kinds import URGENCY, Finding, FindingKind, kind_of
from framegate.record.event import Severity
from framegate.record.events import events
from framegate.record.site_events import SiteFinding
from support.reports import HOST, finding


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_is_an_event_with_a_severity_of_its_own(reports, kind):
    device = "" if kind == FindingKind.FOLDED else "camera.line-1.cam1"
    reports.take(reports.report(finding(kind, device, count=3, said="words")))
    (entry,) = reports.bench.events(kind.value)
    assert entry["device"] == (device or HOST) and entry["actor"] == HOST
    assert entry["members"] == {
        "reporter": HOST,
        "store": "store",
        "report": 1,
        "reason": "frame-frozen",
        "count": 3,
        "first_ms": 1,
        "last_ms": 1,
        "said": "words",
    }
    assert "3 times" in entry["detail"] and HOST in entry["detail"]
    assert events()[kind.value] is SiteFinding


def test_names_that_events_have_for_good():
    assert [k.value for k in FindingKind] == [
        "known-answer-deviated",
        "model-refused",
        "frame-replayed",
        "frame-manipulated",
        "seal-refused",
        "opening-refused",
        "child-died",
        "child-confined",
        "frame-frozen",
        "frame-covered",
        "uninspected-streak",
        "line-stop-asked",
        "line-output-refused",
        "broker-trouble",
        "segment-not-cut",
        "segment-spoofed",
        "segment-repaired",
        "segment-cut",
        "frame-exported",
        "dataset-exported",
        "frame-drifted",
        "frame-quality",
        "store-filling",
        "segment-refused",
        "segment-would-refuse",
        "segment-flow",
        "segment-admitted",
        "segment-withdrawn",
        "pilot-stop",
        "pilot-warned",
        "pilot-observed",
        "pilot-passed",
        "findings-folded",
    ]
    assert list(URGENCY) == list(FindingKind)


def test_a_lie_of_a_model_weighs_more_than_a_blurred_picture():
    told = [
        SiteFinding(finding=finding(k), reporter=HOST, store="s", report=1).severity
        for k in (FindingKind.KNOWN_ANSWER, FindingKind.FRAME_QUALITY, FindingKind.CHILD_CONFINED)
    ]
    assert told == [Severity.HIGH, Severity.LOW, Severity.INFORMATIONAL]


def test_a_new_store_is_told_of(reports):
    from dataclasses import replace

    report = reports.report()
    reports.take(report)
    reports.take(replace(report, store="another"))
    assert [e["members"]["store"] for e in reports.bench.events("report-store-new")] == [
        "store",
        "another",
    ]


def test_reasons_that_are_nobodys_doing_have_no_kind():
    from framegate.errors import Reason

    assert kind_of(Reason.STALE) is kind_of(Reason.QUARANTINED) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "proved"},
        {"count": True},
        {"count": 0},
        {"count": 2**60},
        {"first_ms": -1},
        {"first_ms": 2},
        {"said": "x" * 201},
        {"device": 5},
        {"more": 1},
    ],
)
def test_a_finding_has_its_members_in_range(change):
    assert Finding.parse(finding().body()) == finding()
    with pytest.raises(Malformed):
        Finding.parse({**finding().body(), **change})
