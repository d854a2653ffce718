"""N130: what a join port hands out and takes back, and what it says to its controller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason, Refused
from framegate_controller.joinport.messages import (
    JoinToken,
    Known,
    PassedEvidence,
    PortAnswer,
    PortCall,
    PortSetup,
    RefusalReport,
    RefusedStrangers,
    open_token,
    seal_token,
    token_key,
)
from framegate_controller.joinport.refusals import OTHERS, RefusalCount

KEY = token_key(b"s" * 32)


def test_a_token_comes_back_as_it_went_out():
    token = open_token(KEY, seal_token(KEY, b"state", 1_000), 1_000)
    assert (token.state, token.expires_ms) == (b"state", 1_000)
    assert token_key(b"s" * 32) == KEY != token_key(b"t" * 32)


@given(st.integers(0, 400), st.integers(0, 7))
def test_n130_a_token_with_any_bit_flipped_is_nobodys(byte, bit):
    raw = bytearray(seal_token(KEY, b"state", 1_000))
    raw[byte % len(raw)] ^= 1 << bit
    with pytest.raises(Refused) as caught:
        open_token(KEY, bytes(raw), 0)
    assert caught.value.reason == Reason.SESSION_UNKNOWN


@pytest.mark.parametrize("raw", [b"", b"x", bytes(16), seal_token(b"o" * 32, b"state", 1_000)])
def test_n130_tokens_of_nobody(raw):
    with pytest.raises(Refused) as caught:
        open_token(KEY, raw, 0)
    assert caught.value.reason == Reason.SESSION_UNKNOWN


def test_n130_a_token_lives_as_long_as_its_challenge_and_cannot_be_lengthened():
    token = JoinToken.parse(seal_token(KEY, b"state", 1_000))
    with pytest.raises(Refused) as caught:
        open_token(KEY, token.marshal(), 1_001)
    assert caught.value.reason == Reason.SESSION_EXPIRED
    longer = JoinToken(state=token.state, expires_ms=9_000, tag=token.tag)
    with pytest.raises(Refused) as caught:
        open_token(KEY, longer.marshal(), 1_001)
    assert caught.value.reason == Reason.SESSION_UNKNOWN


@given(st.binary(max_size=400))
def test_records_of_the_line_raise_only_our_errors(data):
    for record in (PortCall, PortAnswer, PortSetup, Known, PassedEvidence, RefusalReport):
        with pytest.raises(Malformed):
            record.parse(data)


def test_n138_refusals_are_counted_by_reason_and_prefix_and_the_rest_together():
    count = RefusalCount(most=3)
    for n in range(100):
        count.add("ek-unknown", f"10.0.0.{n}")
        count.add("malformed", "10.0.0.1")
    refused = [RefusedStrangers.parse(r) for r in RefusalReport.parse(count.report()).refused]
    by_kind = {(r.reason, r.prefix): r.count for r in refused}
    assert by_kind == {
        ("ek-unknown", "10.0.0.0"): 1,
        ("malformed", "10.0.0.1"): 100,
        ("ek-unknown", "10.0.0.1"): 1,
        ("ek-unknown", OTHERS): 98,
    }
    assert count.report() == b""


def test_n138_reasons_without_end_are_counted_too():
    count = RefusalCount(most=2)
    for n in range(50):
        count.add(f"reason {n}", "p")
    refused = [RefusedStrangers.parse(r) for r in RefusalReport.parse(count.report()).refused]
    assert len(refused) <= 5 and sum(r.count for r in refused) == 50
