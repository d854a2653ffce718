"""When the certificates end that people carry to lines and enforcers: by what these signed last."""

from datetime import timedelta

from framegate.errors import Reason
from framegate.findings.kinds import FindingKind
from framegate.identity.certificates import Purpose
from framegate.signed.report import LineReport
from framegate_controller.verbs.ca import SAID, broker_ends, deployed_ends
from support.batches import HOST
from support.reports import LINE, finding


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


def test_from_when_on_it_counts_is_told_too(reports):
    reports.take(reports.report(kind=LineReport, reporter=LINE))
    begins = reports.line_signer.certificate.not_valid_before_utc
    with reports.bench.store.reading() as tx:
        (one,) = deployed_ends(tx)
    assert one.begins_ms == int(begins.timestamp() * 1000)


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


def seen(reports, said, reason=Reason.CERTIFICATE_ENDING):
    at = reports.bench.clock()
    trouble = FindingKind.BROKER_TROUBLE
    return finding(trouble, device="", at_ms=at, reason=reason.value, said=said)


def brokers_of(reports):
    with reports.bench.store.reading() as tx:
        return {one.reporter: one.said for one in broker_ends(tx)}


def test_what_each_saw_last_of_its_brokers_certificate_is_told(reports):
    assert brokers_of(reports) == {}
    first = reports.report(seen(reports, "in 9 days"), kind=LineReport, reporter=LINE)
    reports.take(first)
    reports.take(reports.report(seen(reports, "in 8 days")))
    assert brokers_of(reports) == {LINE: "in 9 days", HOST: "in 8 days"}
    reports.take(reports.next(first, seen(reports, "in 7 days")))
    assert brokers_of(reports) == {LINE: "in 7 days", HOST: "in 8 days"}


def test_other_trouble_with_a_broker_and_what_was_said_days_ago_is_not(reports):
    reports.take(reports.report(seen(reports, "gone", Reason.UNAVAILABLE)))
    assert brokers_of(reports) == {}
    reports.take(reports.report(seen(reports, "in 9 days"), kind=LineReport, reporter=LINE))
    reports.bench.clock.pass_s(SAID.total_seconds() + 60)
    assert brokers_of(reports) == {}
