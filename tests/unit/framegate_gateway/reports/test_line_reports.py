"""Reports of lines on a gateway's broker: only what verifies, in order, within bounds."""

from types import SimpleNamespace

import pytest

from framegate.signed.report import REPORTS_TOPIC, GatewayReport, LineReport
from framegate_gateway.reports.line_reports import MAX_WAITING, RATE, LineReports

TOPIC = REPORTS_TOPIC.format(line="press-7")


@pytest.fixture
def heard(bench_line):
    credentials = SimpleNamespace(
        authorities=bench_line.fleet.intermediates, root=bench_line.fleet.root.certificate
    )
    return LineReports(SimpleNamespace(credentials=credentials), lambda: bench_line.now)


def said(bench, number=1, reporter="line.press-7", kind=LineReport, by=None):
    own = by or bench.adapter._credentials
    report = kind(reporter, "store", number, "", bench.now, bench.now, (), ())
    return report.seal(own.der, own.sign)


def test_reports_wait_in_order_each_once_until_they_are_done(bench_line, heard):
    second, first = said(bench_line, 2), said(bench_line, 1)
    for payload in (second, first, second):
        heard.take(TOPIC, payload)
    waiting = heard.waiting()
    assert [w.envelope for w in waiting] == [first, second]
    heard.done(waiting[0])
    heard.done(waiting[0])
    assert [w.number for w in heard.waiting()] == [2]


def test_what_no_line_of_this_name_signed_is_as_if_it_had_not_come(bench_line, heard):
    for topic, payload in (
        (TOPIC, b""),
        (TOPIC, b"{}"),
        (TOPIC, said(bench_line)[:-9]),
        (REPORTS_TOPIC.format(line="press-8"), said(bench_line)),
        (TOPIC, said(bench_line, reporter="line.press-8")),
        (TOPIC, said(bench_line, by=bench_line.gateway)),
        (TOPIC, said(bench_line, kind=GatewayReport)),
        (TOPIC, said(bench_line) + b" " * 2**18),
    ):
        heard.take(topic, payload)
    assert heard.waiting() == []


def test_a_line_that_floods_has_no_more_waiting_than_it_sends_at_once(bench_line, heard):
    for number in range(1, int(RATE.burst) + 40):
        heard.take(TOPIC, said(bench_line, number))
    assert len(heard.waiting()) == MAX_WAITING


def test_a_gateway_without_a_warrant_hears_nobody(bench_line):
    deaf = LineReports(SimpleNamespace(credentials=None), lambda: bench_line.now)
    deaf.take(TOPIC, said(bench_line))
    assert deaf.waiting() == []
