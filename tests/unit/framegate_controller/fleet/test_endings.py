"""What ends by itself: certificates that people carry, by what was signed with them last and by
what was handed out; brokers'; signatures on profiles.
"""

from datetime import timedelta

import pytest

from framegate.errors import Reason
from framegate.findings.kinds import FindingKind
from framegate.identity.certificates import Purpose
from framegate.record.fleet_events import CertificateHandedOut
from framegate.signed.report import LineReport
from framegate_controller.fleet.endings import (
    HANDED_OUT,
    SAID,
    broker_ends,
    deployed_ends,
    profile_ends,
)
from framegate_controller.fleet.profiles import revoke_signer
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


def hand_out(reports, subject, days=90):
    now = reports.bench.clock()
    with reports.bench.store.writing() as tx:
        tx.record(
            CertificateHandedOut(
                subject=subject, serial="ab", begins_ms=now, ends_ms=now + days * 86_400_000
            )
        )
    return now + days * 86_400_000


@pytest.mark.parametrize(
    "subject", ["line.press-7-plc", "broker.plant.framegate", "enforcer.line-1.switch-1"]
)
def test_whoever_never_reports_is_told_by_what_was_handed_out_last(reports, subject):
    first = hand_out(reports, subject)
    assert ends_of(reports) == {subject: first}
    reports.bench.clock.pass_s(3600)
    later = hand_out(reports, subject)
    assert ends_of(reports) == {subject: later} and later > first
    other = hand_out(reports, "line.press-8", days=1)
    assert ends_of(reports)["line.press-8"] == other


def test_what_a_line_signs_with_counts_not_what_lies_in_a_folder_for_it(reports):
    """Its next certificate was made, and nobody has carried it there yet."""
    hand_out(reports, LINE, days=200)
    reports.take(reports.report(kind=LineReport, reporter=LINE))
    ends = reports.line_signer.certificate.not_valid_after_utc
    assert ends_of(reports) == {LINE: int(ends.timestamp() * 1000)}


def test_what_was_handed_out_long_ago_is_over(reports):
    hand_out(reports, "line.press-9")
    reports.bench.clock.pass_s(HANDED_OUT.total_seconds() + 1)
    assert ends_of(reports) == {}


def profiles_of(bench):
    with bench.store.reading() as tx:
        return [(one.name, one.ends_ms) for one in profile_ends(tx, bench.keys)]


def test_a_profile_that_machines_name_ends_with_its_signers_certificate(bench):
    signer = bench.keys.signing["profile"].certificate
    assert profiles_of(bench) == [], "no machine names it yet"
    bench.enrol()
    ((name, ends),) = profiles_of(bench)
    assert "profile simulated-camera" in name
    assert ends == int(signer.not_valid_after_utc.timestamp() * 1000)
    with bench.store.writing() as tx:
        revoke_signer(tx, bench.keys, signer, "stolen")
    assert profiles_of(bench) == [], "why it counts no more its machines say"


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
