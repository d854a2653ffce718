"""N01 to N06, N17, N18, N124: quote and certify structures."""

import struct
from dataclasses import replace

import pytest

from framegate.errors import Malformed, Reason
from framegate.tpm.attest import (
    ClockInfo,
    PcrSelection,
    marshal_ecdsa_signature,
    parse_attest,
    parse_signature,
)
from framegate.tpm.constants import Alg, Curve, St
from framegate.tpm.public import AK_ATTRS, marshal_public, parse_public
from framegate_simulators.forge.forge import Key
from support.structures import refused_join


@pytest.mark.parametrize("magic", [0, 0xFF544346, 0x47544FFF])
def test_n01_magic_is_not_tpm_generated(bench, magic):
    assert refused_join(bench, bench.forge().with_quote(magic=magic)) == Reason.MAGIC


def test_n01_certify_magic(bench):
    assert refused_join(bench, bench.forge().with_certify(magic=0)) == Reason.MAGIC


@pytest.mark.parametrize(
    "kind", [St.ATTEST_CREATION, St.ATTEST_TIME, St.ATTEST_NV, St.ATTEST_SESSION_AUDIT, 0x0000]
)
def test_n02_other_attestation_offered_as_a_quote(bench, kind):
    assert refused_join(bench, bench.forge().with_quote(type=kind)) == Reason.ATTEST_TYPE


def test_n02_certify_offered_as_a_quote_and_the_reverse(bench):
    forge = bench.forge()
    forge.change_evidence = lambda p: {
        **p,
        "quote_attest": p["certify_attest"],
        "quote_signature": p["certify_signature"],
    }
    assert refused_join(bench, forge) == Reason.ATTEST_TYPE


def test_n02_quote_offered_as_a_certify(bench):
    forge = bench.forge()
    forge.change_evidence = lambda p: {
        **p,
        "certify_attest": p["quote_attest"],
        "certify_signature": p["quote_signature"],
    }
    assert refused_join(bench, forge) == Reason.ATTEST_TYPE


@pytest.mark.parametrize(
    "pcrs", [(16,), (0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 6, 7, 8), (0, 1, 2, 3, 4, 5, 6, 23)]
)
def test_n03_signed_selection_differs_from_the_requested(bench, pcrs):
    assert (
        refused_join(bench, bench.forge().with_quote(selections=(PcrSelection(Alg.SHA256, pcrs),)))
        == Reason.PCR_SELECTION
    )


def test_n04_values_outside_the_selection_are_never_used(bench):
    forge = bench.enrol()
    assert set(bench.device().shown.pcrs) == {
        str(p) for p in range(11)
    } and forge.pcrs.keys() == set(range(10))


def test_n05_empty_selection(bench):
    assert refused_join(bench, bench.forge().with_quote(selections=())) == Reason.PCR_SELECTION
    assert parse_attest_of(()) == ()


def parse_attest_of(selections):
    from framegate.tpm.attest import Attest, marshal_attest

    return parse_attest(
        marshal_attest(
            Attest(
                b"",
                0xFF544347,
                St.ATTEST_QUOTE,
                b"",
                b"",
                ClockInfo(0, 0, 0, True),
                0,
                selections,
                b"",
            )
        )
    ).selections


def test_n05_selection_without_pcrs(bench):
    assert (
        refused_join(bench, bench.forge().with_quote(selections=(PcrSelection(Alg.SHA256, ()),)))
        == Reason.PCR_SELECTION
    )


def test_n06_several_banks(bench):
    both = (PcrSelection(Alg.SHA1, tuple(range(8))), PcrSelection(Alg.SHA256, tuple(range(8))))
    assert refused_join(bench, bench.forge().with_quote(selections=both)) == Reason.PCR_SELECTION


def test_n06_another_bank_than_asked_for(bench):
    assert (
        refused_join(
            bench, bench.forge().with_quote(selections=(PcrSelection(Alg.SHA1, tuple(range(8))),))
        )
        == Reason.PCR_SELECTION
    )


def quote_bytes(bench) -> bytes:
    seen = {}
    forge = bench.forge()
    forge.change_evidence = lambda p: seen.update(p) or p
    bench.join(forge, bench.invite(ek=forge.ek_sha256))
    return seen["quote_attest"]


def test_n17_attest_structures_that_do_not_account_for_every_byte(bench):
    raw = quote_bytes(bench)
    assert parse_attest(raw).raw == raw
    for size in range(len(raw)):
        with pytest.raises(Malformed):
            parse_attest(raw[:size])
    with pytest.raises(Malformed) as caught:
        parse_attest(raw + b"\0")
    assert caught.value.reason == Reason.TRAILING_BYTES


def test_n17_size_of_select_other_than_three(bench):
    raw = quote_bytes(bench)
    at = raw.index(struct.pack(">HB", Alg.SHA256, 3)) + 2
    for size in (0, 1, 2, 4, 255):
        with pytest.raises(Malformed):
            parse_attest(raw[:at] + bytes([size]) + raw[at + 1 :])


def test_n17_duplicate_and_unknown_banks():
    twice = (PcrSelection(Alg.SHA256, (0,)), PcrSelection(Alg.SHA256, (1,)))
    with pytest.raises(Malformed):
        parse_attest_of(twice)
    with pytest.raises(Malformed):
        parse_attest_of((PcrSelection(0x7777, (0,)),))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\x18",
        struct.pack(">HHH", Alg.ECDSA, Alg.SHA256, 999),
        marshal_ecdsa_signature(1, 2) + b"\0",
        struct.pack(">HH", 0x1234, Alg.SHA256),
    ],
)
def test_n17_signatures_that_do_not_parse(data):
    with pytest.raises(Malformed):
        parse_signature(data)


def test_n17_public_areas_that_do_not_parse():
    raw = Key.make(AK_ATTRS).public.raw
    for size in range(len(raw)):
        with pytest.raises(Malformed):
            parse_public(raw[:size])
    for bad in (
        raw + b"\0",
        raw[:4] + b"\xff\xff\xff\xff" + raw[8:],
        struct.pack(">H", 0x0008) + raw[2:],
    ):
        with pytest.raises(Malformed):
            parse_public(bad)


def test_n17_point_that_is_not_on_the_curve():
    raw = marshal_public(
        attributes=AK_ATTRS,
        curve=Curve.NIST_P256,
        x=b"\1" * 32,
        y=b"\2" * 32,
        scheme=(Alg.ECDSA, Alg.SHA256),
    )
    with pytest.raises(Malformed):
        parse_public(raw).key()


def test_n18_safe_zero_alone_is_no_failure(bench):
    forge = bench.enrol()
    forge.clock = replace(forge.clock, clock=forge.clock.clock + 5, safe=False)
    assert bench.attest(forge).state == "trusted"
