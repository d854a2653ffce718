"""SFrame (RFC 9605): its vectors, headers that are none, and a sealer and opener that count."""

import json

import pytest

from framegate.errors import Malformed, Reason, Refused
from framegate.sframe import (
    AES_128_GCM_SHA256_128,
    AES_256_GCM_SHA512_128,
    Opener,
    Sealer,
    derive,
    encode_header,
    parse_header,
)
from support.paths import VECTORS as VECTORS_DIR
from support.refusals import refused

VECTORS = json.loads((VECTORS_DIR / "sframe" / "rfc9605.json").read_text())


SUITES = {4: AES_128_GCM_SHA256_128, 5: AES_256_GCM_SHA512_128}


@pytest.mark.parametrize("v", VECTORS["sframe"], ids=lambda v: f"suite-{v['cipher_suite']}")
def test_rfc_9605_vectors(v):
    h = bytes.fromhex
    suite = SUITES[v["cipher_suite"]]
    assert derive(suite, h(v["base_key"]), v["kid"]) == (h(v["sframe_key"]), h(v["sframe_salt"]))
    sealer = Sealer(h(v["base_key"]), v["kid"], suite)
    sealer.counter = v["ctr"]
    sealed = sealer.seal(h(v["pt"]), h(v["metadata"]))
    assert sealed == h(v["ct"])
    opener = Opener(h(v["base_key"]), v["kid"], suite)
    assert opener.open(sealed, h(v["metadata"])) == (v["ctr"], v["ctr"], h(v["pt"]))
    with pytest.raises(Refused) as caught:
        opener.open(sealed, h(v["metadata"]))
    assert caught.value.reason == Reason.FRAME_REPLAYED


@pytest.mark.parametrize("v", VECTORS["header"], ids=lambda v: v["encoded"])
def test_header_vectors(v):
    raw = bytes.fromhex(v["encoded"])
    assert encode_header(v["kid"], v["ctr"]) == raw and parse_header(raw) == (
        v["kid"],
        v["ctr"],
        len(raw),
    )


@pytest.mark.parametrize(
    "raw", ["", "08", "0800", "0807", "0900ff", "80", "8800ff", "ff" + "00" * 16]
)
def test_headers_that_are_short_or_not_in_shortest_form(raw):
    with pytest.raises(Malformed):
        parse_header(bytes.fromhex(raw))


def test_sealer_and_opener_agree_and_count():
    sealer, opener = Sealer(b"k" * 32, 9), Opener(b"k" * 32, 9)
    assert opener.open(sealer.seal(b"x", b"m"), b"m") == (0, 0, b"x")
    sealer.counter = 2**32
    assert refused(lambda: sealer.seal(b"x", b"m")) == Reason.FRAME_SESSION
    assert encode_header(9, 0)[0] == 0x80


def test_numbers_that_are_too_large_and_another_key():
    with pytest.raises(ValueError, match="64 bits"):
        encode_header(0, 1 << 64)
    sealer, opener = (kind(b"s" * 32, number) for kind, number in ((Sealer, 1), (Opener, 2)))
    assert refused(lambda: opener.open(sealer.seal(b"x", b""), b"")) == Reason.FRAME_SESSION
