"""Errors, failures and their reasons."""

import hashlib

import pytest

from framegate.errors import Failure, FramegateError, Malformed, Reason
from framegate.wire import sha256


def test_a_failure_is_never_falsy_and_an_error_never_empty():
    """N124: nothing that failed may read as success further up."""
    assert Failure(Reason.MAGIC, "", "", "") and bool(Failure(Reason.MAGIC, "", ""))
    with pytest.raises(ValueError, match="at least one"):
        FramegateError([])


def test_reason_ids_are_unique_and_stable_in_form():
    assert len({r.value for r in Reason}) == len(Reason)
    assert all(r.value == r.value.lower() and " " not in r.value for r in Reason)


def test_malformed_is_a_framegate_error():
    assert issubclass(Malformed, FramegateError)
    assert hashlib.sha256(b"").digest() == sha256(b"")
