"""Statements of what only a person knows: parsed strictly, each with an end."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.assessment.framework import frameworks, sayable
from framegate.assessment.maturity import ztmm
from framegate.assessment.statement import MAX_DAYS, MAX_SAID, parse_said
from framegate.errors import FramegateError, Malformed
from framegate_operator.compliance import EXAMPLE

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
    with pytest.raises(Malformed) as refused:
        said(WRONG[what])
    assert refused.value.failures[0].hint or what == "too long"


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
