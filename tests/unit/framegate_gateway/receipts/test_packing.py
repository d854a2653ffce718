"""Packing is exact, and what is damaged is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason
from framegate.signed.dsse import seal_envelope
from framegate.wire import sha256
from framegate_gateway.receipts import packing
from framegate_gateway.receipts.packing import joined_envelope, pack, split_envelope, unpack

KIND = "application/vnd.framegate.verdict+json"
PARTS = (b'{"a":1}', b"", bytes(range(256)), b"x" * 5000)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.binary(max_size=400))
def test_what_comes_out_is_what_went_in(parts, dictionary):
    assert list(unpack(pack(parts, dictionary), dictionary)) == parts


def test_what_is_shared_costs_almost_nothing():
    text = b"".join(sha256(bytes([n])) for n in range(100))
    assert len(pack((text, b"one"), text)) < 120
    assert len(pack((text, b"one"), b"")) > 3000


@given(st.integers(0, 7), st.data())
def test_a_damaged_row_is_told_or_is_the_same(bit, data):
    dictionary = b"a session's text " * 20
    packed = pack(PARTS, dictionary)
    at = data.draw(st.integers(0, len(packed) - 1))
    damaged = packed[:at] + bytes([packed[at] ^ 1 << bit]) + packed[at + 1 :]
    try:
        assert unpack(damaged, dictionary) == PARTS
    except FramegateError as error:
        assert error.reason == Reason.RECEIPT


@pytest.mark.parametrize(
    "change",
    [lambda p: p[:-1], lambda p: p + b"\0", lambda p: b"", lambda p: p[2:], lambda p: p[::-1]],
)
def test_a_row_that_is_cut_off_or_longer(change):
    with pytest.raises(FramegateError) as caught:
        unpack(change(pack(PARTS, b"text")), b"text")
    assert caught.value.reason == Reason.RECEIPT


def test_another_sessions_text_opens_nothing():
    for other in (b"", b"texts", b"t"):
        with pytest.raises(FramegateError):
            unpack(pack(PARTS, b"text"), other)


def test_a_row_takes_no_more_memory_than_its_limit(monkeypatch):
    monkeypatch.setattr(packing, "MAX_PACKED", 1000)
    with pytest.raises(FramegateError) as caught:
        unpack(pack((bytes(100_000),), b""), b"")
    assert "too large" in str(caught.value)


@pytest.mark.parametrize("head", [b"3,-1\nab", b"\nab", b"1\nab", b"a\nab", b"2", b"9\nab"])
def test_sizes_that_do_not_fit(head):
    import zlib

    with pytest.raises(FramegateError):
        unpack(zlib.compress(head), b"")


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=80), st.binary(max_size=700))
def test_envelopes_come_back_to_the_byte(payload, signature, certificate):
    envelope = seal_envelope(KIND, payload, certificate, lambda _: signature)
    split = split_envelope(envelope, KIND)
    assert split == (payload, signature, certificate)
    assert joined_envelope(split, KIND) == envelope


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.replace(b":", b": ", 1),
        lambda e: e.replace(b"verdict", b"verdicts"),
        lambda e: e[:-1],
        lambda e: b"",
        lambda e: b"[]",
        lambda e: b'{"signatures":[]}',
        lambda e: b'{"signatures":[3],"payload":"YQ=="}',
        lambda e: e.replace(b'"cert"', b'"cart"'),
        lambda e: b"\xff\xfe",
    ],
)
def test_what_is_no_envelope_of_ours_stays_as_it_is(change):
    other = change(seal_envelope(KIND, b"{}", b"certificate", lambda _: b"signature"))
    assert split_envelope(other, KIND) == (other,)
    assert joined_envelope((other,), KIND) == other
