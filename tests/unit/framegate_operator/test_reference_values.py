"""Reference values from a CoRIM."""

import cbor2
import pytest
import tomli_w

from framegate.errors import Malformed
from framegate.profile.model import parse_profile
from framegate_operator.reference_values import from_corim

A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))


def corim(*measurements, signed: bool = False) -> bytes:
    comid = cbor2.CBORTag(506, cbor2.dumps({1: {0: "id"}, 4: {0: [[{0: {}}, list(measurements)]]}}))
    body = cbor2.CBORTag(501, {0: "corim", 1: [comid]})
    if signed:
        return cbor2.dumps(cbor2.CBORTag(18, [b"", {}, cbor2.dumps(body), b"sig"]))
    return cbor2.dumps(body)


@pytest.mark.parametrize("signed", [False, True])
def test_digests_and_registers_become_rules(signed):
    raw = corim(
        {0: "pcr4/shim", 1: {2: [[1, A], [7, bytes(48)]]}},
        {0: 0, 1: {2: [[1, B]]}},
        {0: "x", 1: {14: {5: [[1, C]]}}},
        signed=signed,
    )
    profile = parse_profile(tomli_w.dumps(from_corim(raw, "vendor")).encode())
    assert {(r.name, r.pcr) for r in profile.rules} == {
        ("shim (PCR 4)", 4),
        ("reference value (PCR 0)", 0),
    }
    assert profile.claim(4, A).required and profile.pinned == {5: frozenset({C})}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"\x00\x00",
        cbor2.dumps({}),
        cbor2.dumps(cbor2.CBORTag(501, {1: "x"})),
        cbor2.dumps(cbor2.CBORTag(501, {1: [cbor2.CBORTag(506, {4: {0: 5}})]})),
        corim({0: 4, 1: {2: [[{}, A]]}}),
        corim({0: 4, 1: {2: 7}}),
        corim(),
        corim({0: "firmware", 1: {2: [[1, A]]}}),
        corim({0: 4, 1: {2: [[1, b"short"]]}}),
        corim({0: 4, 1: {2: [[7, bytes(48)]]}}),
        corim({0: 4, 1: {2: [[1, A]]}}) + b"\x00",
        b"\x9f" * 5000,
    ],
)
def test_files_that_are_no_corim_or_say_nothing_of_a_pcr(raw):
    with pytest.raises(Malformed):
        from_corim(raw, "x")


def test_a_comid_alone_is_read_and_named():
    triples = {0: [[{0: {}}, [{0: 4, 1: {2: [[1, A]]}}]]]}
    comid = {1: {0: "acme bios"}, 4: triples}
    for raw in (
        cbor2.dumps(comid),
        cbor2.dumps(cbor2.CBORTag(506, comid)),
        cbor2.dumps(cbor2.CBORTag(506, cbor2.dumps(comid))),
    ):
        body = from_corim(raw, "x")
        assert "acme bios" in body["profile"]["description"]
        assert parse_profile(tomli_w.dumps(body).encode()).claim(4, A)
    empty = {1: {0: "acme bios"}, 4: {}}
    with pytest.raises(Malformed, match="acme bios"):
        from_corim(cbor2.dumps(empty), "x")
