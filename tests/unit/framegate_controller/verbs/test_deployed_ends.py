"""When the certificates end that people carry to lines and enforcers: by what these signed last."""

from datetime import timedelta

from framegate.identity.certificates import Purpose
from framegate.signed.report import LineReport
from framegate_controller.verbs.ca import deployed_ends
from support.reports import LINE


def ends_of(reports):
    with reports.bench.store.reading() as tx:
        return {one.name: one.ends_ms for one in deployed_ends(tx)}


def test_a_line_that_reported_is_told_with_its_certificates_end_and_a_gateway_is_not(reports):
    assert ends_of(reports) == {}
    reports.take(reports.report())
    assert ends_of(reports) == {}, "a gateway gets a new one with every attestation"
    first = reports.report(kind=LineReport, reporter=LINE)
    reports.take(first)
    ends = reports.line_signer.certificate.not_valid_after_utc
    assert ends_of(reports) == {LINE: int(ends.timestamp() * 1000)}


def test_the_last_report_counts(reports):
    first = reports.report(kind=LineReport, reporter=LINE)
    reports.take(first)
    before = ends_of(reports)[LINE]
    renewed = reports.key(LINE, Purpose.LINE, "broker-ca", timedelta(days=30))
    reports.take(reports.next(first), renewed)
    assert ends_of(reports)[LINE] > before


def test_an_entry_of_an_earlier_version_says_nothing(reports):
    report = reports.report(kind=LineReport, reporter=LINE)
    reports.take(report)
    with reports.bench.store.writing() as tx:
        tx.log.append({"kind": "report", "device": LINE, "reporter": LINE, "number": 2})
    assert ends_of(reports) == {}
