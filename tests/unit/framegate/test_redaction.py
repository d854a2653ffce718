"""Addresses without their credentials: masked wider rather than narrower."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.redaction import holds_credentials, is_encoded, redacted, userinfo_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://anna:secret@cam/1", "rtsp://anna:***@cam/1"),
        ("rtsp://anna:s/e?c#r@et@cam/1", "rtsp://anna:***@cam/1"),
        ("https://token@host/x", "https://***@host/x"),
        ("could not open rtsp://a:b@c: refused", "could not open rtsp://a:***@c: refused"),
        ("http://host/x?user=a&password=b&x=1", "http://host/x?user=a&password=***&x=1"),
        ("http://host/x?Token=b", "http://host/x?Token=***"),
        ("pkcs11:token=ca;pin-value=1234", "pkcs11:token=ca;pin-value=***"),
    ],
)
def test_credentials_are_masked(text, shown):
    assert redacted(text) == shown and redacted(shown) == shown


@pytest.mark.parametrize("text", ["", "a=b", "rtsp://cam:554/1", "http://host/x?pinned=1", "a@b"])
def test_what_holds_none_is_shown_as_it_is(text):
    assert redacted(text) == text and not holds_credentials(text)


@given(st.from_regex(r"[A-Za-z0-9@:/?#!$%]{4,20}", fullmatch=True))
def test_no_password_is_shown_whatever_is_in_it(password):
    assert redacted(f"rtsp://anna:SE{password}CRET@camera/1") == "rtsp://anna:***@camera/1"


@pytest.mark.parametrize(
    ("address", "userinfo", "encoded"),
    [
        ("rtsp://anna:s@cam/1", ("anna", "s"), True),
        ("rtsp://anna@cam/1", ("anna", ""), True),
        ("rtsp://anna:s@e@cam/1", ("anna", "s@e"), False),
        ("rtsp://anna:s/e@cam/1", ("anna", "s/e"), False),
        ("rtsp://cam:554/a@b", None, True),
        ("rtsp://cam/a@b", None, True),
        ("rtsp://cam/1", None, True),
        ("anna:s@cam", None, True),
        ("://anna:s@cam", None, True),
    ],
)
def test_user_and_password_as_they_were_meant(address, userinfo, encoded):
    assert userinfo_of(address) == userinfo
    assert is_encoded(address) is encoded
    assert holds_credentials(address) is (userinfo is not None and userinfo[1] != "")
