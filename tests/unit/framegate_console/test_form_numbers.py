"""Numbers that a form brings: digits of a sensible length, or a refusal that says so."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate_console.form_numbers import MAX_HOURS, number, since_ms


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "1e3", "٣", "0x1", "9" * 16, "a"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(Malformed) as refused:
        number(text)
    assert refused.value.reason is Reason.USAGE


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_refused(text):
    try:
        assert 0 <= number(text) < 10**15
    except Malformed:
        assert not (text.isascii() and text.isdigit() and len(text) <= 15)


def test_hours_back_from_now():
    before = int(time.time() * 1000)
    assert before <= since_ms("2") + 2 * 3_600_000 <= int(time.time() * 1000)


@pytest.mark.parametrize("hours", [str(MAX_HOURS + 1), "-1", ""])
def test_more_hours_than_any_record_has_are_refused(hours):
    with pytest.raises(Malformed):
        since_ms(hours)
