"""Statements of what only a person knows: parsed strictly, each with an end."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.assessment.framework import frameworks, sayable
from framegate.assessment.maturity import ztmm
from framegate.assessment.reading import DAY_MS
from framegate.assessment.statement import (
    MAX_DAYS,
    MAX_SAID,
    PostureStatement,
    parse_said,
    said_in,
    text_of,
    verify_posture,
)
from framegate.errors import FramegateError, Malformed, Reason
from framegate.identity.certificates import Purpose
from framegate.signed.statement import CLOCK_SLACK_MS
from framegate_operator.compliance import EXAMPLE
from support.refusals import refused
from support.verdicts import MS, signer

NOW = int(datetime(2026, 11, 27, tzinfo=UTC).timestamp() * 1000)
ONE = (
    '[[statement]]\nabout = "ztmm/data.inventory"\nsays = "initial"\nbecause = "b"\n'
    "expires = 2027-01-31\n"
)


def said(text=ONE, now=NOW):
    return parse_said(f"version = 1\n{text}", sayable(), now)


def test_the_example_holds_and_everything_can_be_spoken_of():
    assert [s.about for s in parse_said(EXAMPLE, sayable(), NOW)] == [
        "ztmm/data.inventory",
        "hipaa",
    ]
    claims = sum(len(f.claims) for f in frameworks().values())
    assert len(sayable()) == len(ztmm().functions) + claims + len(frameworks()) == 37 + 121 + 12


WRONG = {
    "no such function": ONE.replace("data.inventory", "data.invented"),
    "no such stage": ONE.replace("initial", "perfect"),
    "a stage of a claim": ONE.replace("ztmm/data.inventory", "gdpr/art-33"),
    "a pass of a whole framework": ONE.replace("ztmm/data.inventory", "gdpr").replace(
        "initial", "pass"
    ),
    "more members": ONE + "extra = 1",
    "fewer": ONE.replace('because = "b"\n', ""),
    "no reason": ONE.replace('"b"', '""'),
    "twice": ONE + ONE,
    "a past end": ONE.replace("2027-01-31", "2026-11-27"),
    "no end in sight": ONE.replace("2027-01-31", "2031-01-31"),
    "a text as an end": ONE.replace("2027-01-31", '"2027-01-31"'),
    "a time as an end": ONE.replace("2027-01-31", "2027-01-31T00:00:00"),
    "a number": ONE.replace('"ztmm/data.inventory"', "7"),
    "none": "statement = []",
    "too many": ONE * (MAX_SAID + 1),
    "too long": ONE + "#" * 13_000,
    "no TOML": "[[",
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_what_is_no_statement_is_refused(what):
    with pytest.raises(Malformed) as caught:
        said(WRONG[what])
    assert caught.value.failures[0].hint or what == "too long"


@settings(max_examples=40)
@given(st.text(max_size=300) | st.text(max_size=80).map(lambda t: ONE + t))
def test_whatever_the_text_only_our_errors_come_out(text):
    with contextlib.suppress(FramegateError):
        assert said(text)


@given(st.integers(-3_000, 3_000))
def test_it_ends_within_four_hundred_days(days):
    day = (datetime(2026, 11, 27, tzinfo=UTC) + timedelta(days=days)).date()
    text = ONE.replace("2027-01-31", day.isoformat())
    if 0 < days <= MAX_DAYS:
        (one,) = said(text)
        assert one.expires_ms == NOW + days * 86_400_000
    else:
        with pytest.raises(Malformed):
            said(text)


def statement(keys, *, by="anna", operator="anna", signed_ms=MS, now_ms=MS, label="operator-ca"):
    purpose = Purpose.OPERATOR if label == "operator-ca" else Purpose.LINE
    key = signer(keys, f"operator.{by}", purpose, label)
    envelope = PostureStatement(f"version = 1\n{ONE}", operator, signed_ms).seal(key.der, key.sign)
    issuer = keys.issuing[label].certificate
    return lambda: verify_posture(envelope, issuer, keys.root.certificate, now_ms)


def test_an_operators_statement_of_today_counts(keys):
    assert statement(keys)().operator == "anna"
    assert statement(keys, signed_ms=MS - DAY_MS)().signed_at_ms == MS - DAY_MS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"operator": "ben"}, Reason.SIGNATURE),
        ({"by": "ben"}, Reason.SIGNATURE),
        ({"signed_ms": MS - DAY_MS - 1}, Reason.SIGNATURE),
        ({"signed_ms": MS + CLOCK_SLACK_MS + 1}, Reason.SIGNATURE),
        ({"label": "broker-ca"}, Reason.CERTIFICATE),
        ({"now_ms": MS + DAY_MS}, Reason.CERTIFICATE_EXPIRED),
    ],
)
def test_a_statement_by_another_or_of_another_day_is_refused(keys, changes, reason):
    assert refused(statement(keys, **changes)) == reason


def logged(keys, text, index, at_ms=NOW):
    key = signer(keys, "operator.anna", Purpose.OPERATOR, "operator-ca")
    envelope = PostureStatement(f"version = 1\n{text}", "anna", MS).seal(key.der, key.sign)
    assert text_of(envelope).endswith(text)
    told = {"index": index, "at_ms": at_ms, "actor": "operator.anna"}
    return {**told, "members": {"envelope": envelope.decode()}}


def test_of_each_thing_the_last_statement_counts_until_it_ends(keys):
    other = ONE.replace("ztmm/data.inventory", "gdpr").replace("initial", "not-applicable")
    entries = [
        logged(keys, ONE + other.replace("2027-01-31", "2026-12-01"), 1),
        logged(keys, ONE.replace("initial", "advanced"), 2),
        logged(keys, ONE.replace("initial", "optimal"), 3, NOW + DAY_MS),
    ]
    now = said_in(entries, sayable(), NOW)
    assert {a: (s.says, s.index, s.by) for a, s in now.items()} == {
        "gdpr": ("not-applicable", 1, "operator.anna"),
        "ztmm/data.inventory": ("advanced", 2, "operator.anna"),
    }
    later = said_in(entries, sayable(), NOW + 5 * DAY_MS)
    assert {a: s.says for a, s in later.items()} == {"ztmm/data.inventory": "optimal"}
    assert said_in(entries, ["gdpr"], NOW + 5 * DAY_MS) == {}, "nothing that is not known any more"


def test_an_end_before_the_calendar_of_clocks_is_refused():
    with pytest.raises(Malformed):
        said(ONE.replace("2027-01-31", "0001-01-01"))
