"""N153: events suppressed by flooding first. N155: a forged or withheld report of a gateway."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason, Refused
from framegate.findings.kinds import Finding, FindingKind
from framegate.findings.suppression import MAX_DEVICES, WINDOW_MS, Key, Suppression
from framegate.identity.certificates import Purpose
from framegate.identity.names import DeviceId, Kind
from framegate.registry.device import GatewayProcess
from framegate.signed.report import MAX_FINDINGS, Accepted, GatewayReport, LineReport
from framegate_controller.clockwork.reporters import SILENT_MS, ReportWatch
from framegate_controller.record.reports import HOST_RATE
from framegate_host.report_store import ReportStore
from framegate_host.reporting import UNTAKEN, Reporter, Signer
from framegate_host.token_buckets import Rate, TokenBuckets
from support.batches import HOST
from support.reports import CAMERA, LINE, ZONE, finding

DEVIATED = Key(FindingKind.KNOWN_ANSWER, "", "known-answer")
FEW = 8
"""Reports that a bringer has at once, in a test of what is over."""


# N153


def test_n153_a_flood_hides_nothing_that_comes_after_it():
    suppression = Suppression()
    for number in range(
        3 * MAX_DEVICES
    ):  # as many names as somebody has certificates for, and more
        for _ in range(3):
            key = Key(FindingKind.OPENING_REFUSED, f"camera.line-1.c{number}", "opening")
            suppression.add(key, 1_000)
    suppression.add(Key(FindingKind.FRAME_REPLAYED, "camera.line-1.c0", "frame-replayed"), 1_001)
    suppression.add(DEVIATED, 1_002)

    told = suppression.due(1_003)

    assert told[0].kind == FindingKind.KNOWN_ANSWER, "the most urgent goes first"
    assert told[1].kind == FindingKind.FRAME_REPLAYED, "a device that floods has room for it"
    assert sum(f.count for f in told) == 9 * MAX_DEVICES + 2, "and none is left out of a count"
    (folded,) = [f for f in told if f.kind == FindingKind.FOLDED]
    assert folded.reason == "opening-refused" and folded.count == 6 * MAX_DEVICES


def test_n153_one_devices_flood_takes_no_other_devices_room():
    suppression = Suppression(most_devices=2)
    quiet = Key(FindingKind.FRAME_COVERED, "camera.line-1.quiet", "image-covered")
    suppression.add(quiet, 0)
    for number in range(1_000):
        suppression.add(Key(FindingKind.SEAL_REFUSED, "camera.line-1.loud", f"r{number}"), 0)
        suppression.add(Key(FindingKind.SEAL_REFUSED, f"camera.line-1.n{number}", "x"), 0)

    suppression.add(quiet, 5)

    assert [f.count for f in suppression.due(5) if f.device == quiet.device] == [2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(FindingKind)),
            st.sampled_from(["", "a", "b", "c"]),
            st.integers(0, 3 * WINDOW_MS),
        ),
        max_size=60,
    )
)
def test_n153_what_is_told_adds_up_to_what_was_seen_in_few_findings(seen):
    suppression, told = Suppression(most_devices=2), []
    for kind, device, at in sorted(seen, key=lambda s: s[2]):
        suppression.add(Key(kind, device, "reason"), at)
        told += suppression.due(at)
    told += suppression.due(5 * WINDOW_MS)

    assert sum(f.count for f in told) == len(seen)
    for key in {(f.kind, f.device, f.reason) for f in told}:
        assert len([f for f in told if (f.kind, f.device, f.reason) == key]) <= 5, "one a window"


def test_n153_a_full_report_says_the_urgent_first_and_the_rest_in_the_next(tmp_path, reports):
    clock = reports.bench.clock
    reporter = Reporter(ReportStore(tmp_path), GatewayReport, clock)
    for number in range(MAX_FINDINGS + 5):
        reporter.saw(FindingKind.OPENING_REFUSED, "opening", f"camera.line-1.c{number:03}")
    reporter.saw(FindingKind.KNOWN_ANSWER, "known-answer")
    reporter.gather()
    key = Signer(HOST, reports.signer.der, reports.signer.sign)

    assert reporter.sign(key) and reporter.sign(key) and not reporter.sign(key)

    for report in reporter.store.untaken(9):
        reports.desk.take(HOST, ZONE, report.envelope)
    assert len(reports.bench.events("known-answer-deviated")) == 1
    assert len(reports.bench.events("opening-refused")) == MAX_FINDINGS + 5
    entries = reports.bench.events("known-answer-deviated") + reports.bench.events(
        "opening-refused"
    )
    assert entries[0]["index"] < min(e["index"] for e in entries[1:])


def test_n153_while_the_controller_is_away_findings_wait_and_are_counted_on(tmp_path, reports):
    clock = reports.bench.clock
    reporter = Reporter(ReportStore(tmp_path), GatewayReport, clock)
    key = Signer(HOST, reports.signer.der, reports.signer.sign)
    for _ in range(UNTAKEN + 40):
        reporter.saw(FindingKind.FRAME_FROZEN, "frame-frozen", CAMERA)
        clock.pass_s(WINDOW_MS / 1000)
        reporter.gather()
        reporter.sign(key)

    told = reporter.store.untaken(1_000)
    waiting = reporter.store.waiting(99, 99).findings

    assert len(told) == UNTAKEN and len(waiting) == 1
    for report in told:
        reports.desk.take(HOST, ZONE, report.envelope)
    counted = sum(e["members"]["count"] for e in reports.bench.events("frame-frozen"))
    assert counted + waiting[0].count == UNTAKEN + 40


def test_n153_a_reporter_that_floods_the_record_is_told_to_wait_and_loses_nothing(reports):
    report = reports.report()
    reports.take(report)
    with pytest.raises(Refused) as refused:
        for _ in range(200):
            report = reports.next(report)
            reports.take(report)
    assert refused.value.reason == Reason.TOO_MANY_TRIES
    assert not reports.bench.events("report-refused"), "to be told to wait is no fault"
    reports.bench.clock.pass_s(2)
    reports.take(report)


def test_n153_reporters_that_a_gateway_makes_up_get_it_no_more_room(reports, monkeypatch):
    """The name in a report is its bringer's word: one bucket a name would be no limit at all."""
    opened, own = [0], reports.desk._store.writing

    def writing():
        opened[0] += 1
        return own()

    monkeypatch.setattr(reports.desk._store, "writing", writing)
    monkeypatch.setattr(reports.desk, "_hosts", TokenBuckets(Rate(FEW, HOST_RATE.per_s), 4))
    first, refusals = reports.report(), []
    for number in range(2 * FEW):
        with pytest.raises(FramegateError) as refused:
            reports.take(replace(first, reporter=f"gateway.line-1.made-up-{number}"))
        refusals.append(refused.value.reason)
    assert refusals[FEW:] == [Reason.TOO_MANY_TRIES] * FEW
    assert Reason.TOO_MANY_TRIES not in refusals[:FEW]
    assert opened[0] <= 2 * FEW, "what is over costs the store nothing"
    reports.bench.clock.pass_s(1)
    reports.take(reports.report())


# N155


@pytest.mark.parametrize(
    "how",
    [
        "another gateway's key",
        "another gateway's name",
        "a camera's key",
        "a line's key",
        "a key whose certificate ended",
        "the future",
        "before its certificate",
        "another zone's camera",
        "itself twice over",
        "no name",
        "too many",
        "an unknown kind",
        "a count of nothing",
        "times in the wrong order",
        "a finding after its end",
        "garbage",
    ],
)
def test_n155_a_forged_report_is_refused_and_leaves_an_event(reports, how, tmp_path):
    now = reports.bench.clock()
    by, host, report = None, HOST, reports.report(finding(at_ms=now))
    body = finding(at_ms=now).body()
    if how == "another gateway's key":
        by = reports.key("gateway.line-1.gw2")
    elif how == "another gateway's name":
        report = replace(report, reporter="gateway.line-1.gw2")
    elif how == "a camera's key":
        by = reports.key(HOST, Purpose.DEVICE, "device-ca")
    elif how == "a line's key":
        by = reports.line_signer
    elif how == "a key whose certificate ended":
        by = reports.key(HOST, Purpose.VERDICT, "gateway-ca", timedelta(seconds=-1))
    elif how == "the future":
        report = replace(report, closed_at_ms=now + 60_000)
    elif how == "before its certificate":
        report = replace(report, from_ms=now - 3_600_000, closed_at_ms=now - 3_600_000)
    elif how == "another zone's camera":
        report = replace(report, findings=({**body, "device": "camera.line-2.cam1"},))
    elif how == "itself twice over":
        report = replace(report, accepted=({"device": CAMERA, "count": 0, "last_ms": now},))
    elif how == "no name":
        report = replace(report, accepted=({"device": "", "count": 1, "last_ms": now},))
    elif how == "too many":
        report = replace(report, findings=(body,) * (MAX_FINDINGS + 1))
    elif how == "an unknown kind":
        report = replace(report, findings=({**body, "kind": "quarantine"},))
    elif how == "a count of nothing":
        report = replace(report, findings=({**body, "count": 0},))
    elif how == "times in the wrong order":
        report = replace(report, findings=({**body, "first_ms": now + 1},))
    elif how == "a finding after its end":
        report = replace(report, findings=({**body, "last_ms": now + 60_000},))

    with pytest.raises(FramegateError):
        if how == "garbage":
            reports.desk.take(HOST, ZONE, b'{"payloadType": 1}')
        else:
            reports.take(report, by, host)

    assert not reports.bench.events("frame-frozen")
    (event,) = reports.bench.events("report-refused")
    assert event["device"] == HOST and event["members"]["by"] == HOST


@pytest.mark.parametrize("how", ["left out", "forked", "told twice", "another past"])
def test_n155_a_report_that_is_left_out_or_told_in_two_ways_shows(reports, how):
    first = reports.report()
    second = reports.next(first, finding(FindingKind.KNOWN_ANSWER, ""))
    third = reports.next(second)
    reports.take(first)
    if how == "left out":  # what the second one told, somebody wants to keep back
        bad = third
    elif how == "forked":
        reports.take(second)
        bad = reports.next(first)
    elif how == "told twice":
        reports.take(second)
        bad = replace(reports.next(second), previous=first.previous)
    else:
        bad = replace(second, from_ms=first.closed_at_ms - 1)

    with pytest.raises(Refused) as refused:
        reports.take(bad)

    assert refused.value.reason == Reason.REPORT
    assert len(reports.bench.events("report-refused")) == 1


def test_n155_refusals_are_one_event_at_once_and_then_a_count_a_minute(reports):
    for _ in range(20):
        with pytest.raises(FramegateError):
            reports.take(reports.report(), reports.key("gateway.line-1.gw2"))
    assert len(reports.bench.events("report-refused")) == 1
    reports.bench.clock.pass_s(61)
    reports.desk.tell_counted()
    assert reports.bench.events("report-refused")[-1]["members"]["count"] == 19


def test_n155_the_same_report_again_is_proved_again_and_recorded_once(reports):
    report = reports.report(finding())
    assert reports.take(report).index == reports.take(report).index
    assert len(reports.bench.events("frame-frozen")) == 1


def test_n155_a_report_of_a_controller_that_was_away_is_taken_later(reports):
    report = reports.report(finding())
    reports.bench.clock.pass_s(3_600)
    entry = json.loads(reports.take(report).entry)
    assert entry["kind"] == "report" and entry["findings"] == 1


def test_n155_a_gateway_that_reports_nothing_is_told_of_once(reports, bench):
    bench.enrol("gw1", Kind.GATEWAY)
    _vouch(bench, HOST)
    watch = ReportWatch(bench.store)
    report = reports.report()
    reports.take(report)
    bench.clock.pass_s(2 * SILENT_MS / 1000)
    watch.look()
    assert not bench.events("report-withheld"), "a controller that was away hears of it later"

    bench.clock.pass_s(SILENT_MS / 1000 + 1)
    watch.look()
    watch.look()

    (event,) = bench.events("report-withheld")
    assert event["device"] == HOST
    reports.take(reports.next(report))
    assert len(bench.events("report-resumed")) == 1


def test_n155_a_gateway_that_never_reported_is_waited_for_and_told_of(bench):
    bench.enrol("gw1", Kind.GATEWAY)
    _vouch(bench, HOST)
    watch = ReportWatch(bench.store)
    watch.look()
    bench.clock.pass_s(SILENT_MS / 1000 + 1)
    watch.look()
    assert [e["device"] for e in bench.events("report-withheld")] == [HOST]


def test_n155_a_host_that_does_not_stand_owes_none(reports, bench):
    bench.enrol("gw1", Kind.GATEWAY)
    watch = ReportWatch(bench.store)
    reports.take(reports.report())
    watch.look()
    bench.clock.pass_s(SILENT_MS / 1000 + 1)
    watch.look()  # it vouches for no process
    assert not bench.events("report-withheld")


def test_n155_a_line_reports_through_any_gateway_about_itself_alone(reports):
    stop = finding(FindingKind.LINE_STOP, "", reason="timeout")
    report = reports.report(stop, kind=LineReport, reporter=LINE)
    reports.take(report, host="gateway.line-1.gw2")
    (event,) = reports.bench.events("line-stop-asked")
    assert event["device"] == LINE and event["actor"] == LINE

    for bad in (
        replace(reports.next(report), findings=(finding().body(),)),
        replace(reports.next(report), reporter="line.press-8"),
        replace(reports.next(report), reporter=HOST),
        replace(
            reports.next(report), accepted=(Accepted(device=CAMERA, count=1, last_ms=1).body(),)
        ),
    ):
        with pytest.raises(FramegateError):
            reports.take(bad)
    with pytest.raises(FramegateError):  # a gateway's key is no line's
        reports.take(reports.next(report), reports.signer)


@given(st.binary(max_size=300) | st.text(max_size=50).map(str.encode))
@settings(max_examples=80, deadline=None)
def test_n155_whatever_comes_as_a_finding_is_refused_by_our_errors_alone(junk):
    try:
        body = json.loads(junk)
    except ValueError:
        body = {"kind": junk.decode(errors="replace")}
    if isinstance(body, dict):
        with pytest.raises(FramegateError):
            Finding.parse(body)


def _vouch(bench, host):
    """The host's last result names a gateway process."""
    process = GatewayProcess(
        publics_sha256=b"\x01" * 32, host=DeviceId(host), publics=b"publics", result_id="r"
    )
    with bench.store.writing() as tx:
        tx.gateways.replace(host, [process])
