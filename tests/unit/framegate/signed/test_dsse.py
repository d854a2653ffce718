"""Envelopes that are none."""

import base64
import json

import pytest

from framegate.errors import Malformed
from framegate.signed.dsse import MAX_ENVELOPE_BYTES, parse_envelope

B64 = base64.b64encode(b"bytes").decode()
GOOD = {"payloadType": "t", "payload": B64, "signatures": [{"sig": B64, "cert": B64}]}


def test_an_envelope_is_read():
    assert parse_envelope(json.dumps(GOOD).encode(), "t").payload == b"bytes"


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"signatures": []},
        {"signatures": GOOD["signatures"] * 2},
        {"signatures": [{"sig": B64}]},
        {"signatures": [{"sig": B64, "cert": B64, "kid": "x"}]},
        {"payload": B64.replace("=", "")},
        {"payload": B64[:-2] + "t="},
        {"payloadType": "another"},
    ],
    ids=str,
)
def test_members_that_are_missing_more_or_otherwise(changes):
    with pytest.raises(Malformed):
        parse_envelope(json.dumps(GOOD | changes).encode(), "t")


def test_an_envelope_that_is_too_large():
    with pytest.raises(Malformed):
        parse_envelope(b" " * (MAX_ENVELOPE_BYTES + 1), "t")
