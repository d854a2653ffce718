"""Text behind byte order marks, and what only begins like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.byte_order_mark import as_utf8


@given(st.text(), st.sampled_from(["utf-8-sig", "utf-16-le", "utf-16-be"]))
def test_text_comes_back_in_utf8(text, codec):
    mark = "" if codec == "utf-8-sig" else "\ufeff"
    assert as_utf8((mark + text).encode(codec)) == text.encode()


@given(st.binary().filter(lambda b: b[:2] not in {b"\xff\xfe", b"\xfe\xff", b"\xef\xbb"}))
def test_what_has_no_mark_stays(raw):
    assert as_utf8(raw) is raw or as_utf8(raw) == raw


@pytest.mark.parametrize("raw", [b"\xff\xfea", b"\xfe\xff\xdc\0", b"\xff\xfe\0\xd8a\0"])
def test_what_is_no_utf16_stays(raw):
    assert as_utf8(raw) == raw
