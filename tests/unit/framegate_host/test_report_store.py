"""Findings and reports on a disk: kept until they are taken, each told once."""

import pytest

from framegate.errors import Unavailable
from framegate.findings.kinds import FindingKind
from framegate.signed.report import EVERY_MS, MAX_ACCEPTED, GatewayReport, ReportEnd, continues
from framegate_host.report_store import ReportStore
from framegate_host.reporting import Reporter, Signer
from support.clock import Clock
from support.reports import CAMERA, finding

SIGNER = Signer("gateway.line-1.gw1", b"certificate", lambda message: b"signature")


@pytest.fixture
def clock():
    return Clock()


def reporter_in(folder, clock):
    return Reporter(ReportStore(folder), GatewayReport, clock)


def parsed(reporter):
    from framegate.signed.dsse import parse_envelope

    return [
        GatewayReport.parse_payload(parse_envelope(r.envelope, GatewayReport.TYPE).payload)
        for r in reporter.store.untaken(99)
    ]


def test_findings_survive_the_process_that_saw_them(tmp_path, clock):
    first = reporter_in(tmp_path, clock)
    first.saw(FindingKind.FRAME_FROZEN, "frame-frozen", CAMERA)
    first.accepted(CAMERA, 5)
    first.gather()  # and it is killed before anything is signed
    first.store.close()

    again = reporter_in(tmp_path, clock)
    assert again.sign(SIGNER)
    (report,) = parsed(again)
    assert [f["kind"] for f in report.findings] == ["frame-frozen"]
    assert report.accepted == ({"device": CAMERA, "count": 1, "last_ms": 5},)
    assert not again.sign(SIGNER), "and none of it is told twice"


def test_reports_are_a_chain_over_restarts_and_their_times_say_who_was_away(tmp_path, clock):
    reporter = reporter_in(tmp_path, clock)
    for _ in range(3):
        clock.pass_s(EVERY_MS / 1000)
        assert reporter.sign(SIGNER)
    away = clock()
    reporter.store.close()
    clock.pass_s(3_600)
    reporter = reporter_in(tmp_path, clock)
    assert not reporter.sign(SIGNER), "nothing is due: it has only begun"
    clock.pass_s(EVERY_MS / 1000)
    assert reporter.sign(SIGNER)

    last = None
    for stored, report in zip(reporter.store.untaken(9), parsed(reporter), strict=True):
        continues(report, last)
        last = ReportEnd(
            number=report.number, sha256=stored.sha256, closed_at_ms=report.closed_at_ms
        )
    assert report.from_ms == away + 3_600_000, "the hour in between is nobody's"


def test_a_clock_that_goes_back_makes_no_report_that_nobody_takes(tmp_path, clock):
    reporter = reporter_in(tmp_path, clock)
    reporter.sign(SIGNER)
    clock.pass_s(-3_000)
    reporter.saw(FindingKind.CHILD_DIED, "inference")
    reporter.gather()
    assert reporter.sign(SIGNER)
    first, second = parsed(reporter)
    assert second.from_ms == second.closed_at_ms == first.closed_at_ms


def test_more_cameras_than_one_report_names_are_in_the_next_at_once(tmp_path, clock):
    reporter = reporter_in(tmp_path, clock)
    reporter.sign(SIGNER)
    for number in range(MAX_ACCEPTED + 3):
        reporter.accepted(f"camera.line-1.c{number}", 7)
    reporter.gather()
    assert reporter.sign(SIGNER) and not reporter.sign(SIGNER)
    clock.pass_s(EVERY_MS / 1000)
    assert reporter.sign(SIGNER)
    assert [len(r.accepted) for r in parsed(reporter)] == [0, MAX_ACCEPTED, 3]


def test_what_was_taken_is_not_handed_over_again_unless_the_record_lost_it(tmp_path, clock):
    reporter = reporter_in(tmp_path, clock)
    for _ in range(3):
        reporter.sign(SIGNER)
        clock.pass_s(EVERY_MS / 1000)
    first, second, third = reporter.store.untaken(9)
    assert not reporter.store.taken(1, "another digest", 40)
    for report, entry in ((first, 40), (second, 50), (third, 60)):
        assert reporter.store.taken(report.number, report.sha256, entry)
    assert reporter.store.untaken(9) == []
    assert reporter.store.forget_taken(50) == 2
    assert reporter.store.untaken(9) == [second, third]


def test_what_waits_for_a_report_is_one_row_a_key_and_counts_on(tmp_path):
    store = ReportStore(tmp_path)
    for at in (5, 3, 9):
        store.keep([finding(at_ms=at, count=2, said=f"at {at}")])
    (told,) = store.waiting(9, 9).findings
    assert (told.count, told.first_ms, told.last_ms, told.said) == (6, 3, 9, "at 5")


def test_what_was_not_kept_on_the_disk_is_kept_in_memory_and_tried_again(
    tmp_path, clock, monkeypatch
):
    reporter = reporter_in(tmp_path, clock)
    reporter.saw(FindingKind.FRAME_FROZEN, "frame-frozen", CAMERA)
    reporter.accepted(CAMERA, 4)

    def full(*_):
        raise Unavailable.of("report", "a disk", "full")

    with monkeypatch.context() as patch:
        patch.setattr(reporter.store, "keep", full)
        reporter.gather()
    reporter.gather()
    waiting = reporter.store.waiting(9, 9)
    assert len(waiting.findings) == len(waiting.accepted) == 1


def test_one_process_at_a_time(tmp_path):
    store = ReportStore(tmp_path)
    with pytest.raises(Unavailable):
        ReportStore(tmp_path)
    store.close()
    ReportStore(tmp_path).close()
