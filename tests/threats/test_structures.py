"""N01 to N18, N124: quote and certify structures."""

import struct
from dataclasses import replace
from dataclasses import replace as changed

import pytest

from framegate.errors import EvidenceRejected, Malformed, Reason, Refused
from framegate.tpm.attest import (
    ClockInfo,
    PcrSelection,
    marshal_ecdsa_signature,
    parse_attest,
    parse_signature,
)
from framegate.tpm.constants import TPM_RH_OWNER, Alg, Attr, Curve, St
from framegate.tpm.public import AK_ATTRS, TLS_ATTRS, marshal_public, parse_public, require_ak
from framegate_controller.fleet.challenges import Demand
from framegate_simulators.forge.forge import Key
from support.structures import refused_join


def test_n13_an_iak_cannot_vouch_for_one_ak_while_another_quotes(bench):
    """The AK that the IAK certified must be the AK of the Hello."""
    forge = bench.forge().with_iak()
    stranger = Key.make(AK_ATTRS)
    forge.change_iak = lambda a: changed(
        a, name=stranger.public.name, certified_qualified_name=stranger.public.qualified_name()
    )
    with pytest.raises(EvidenceRejected) as caught:
        bench.join(forge, bench.invite())
    assert caught.value.reason == Reason.CERTIFIED_NAME


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
    forge.change_proof = lambda p: {
        **p,
        "quote_attest": p["certify_attest"],
        "quote_signature": p["certify_signature"],
    }
    assert refused_join(bench, forge) == Reason.ATTEST_TYPE


def test_n02_quote_offered_as_a_certify(bench):
    forge = bench.forge()
    forge.change_proof = lambda p: {
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


@pytest.mark.parametrize("data", [b"", b"\0" * 32, b"\0" * 31, b"\0" * 64])
def test_n07_extra_data_missing_or_foreign(bench, data):
    assert refused_join(bench, bench.forge().with_quote(extra_data=data)) == Reason.EXTRA_DATA


def test_n07_extra_data_truncated_or_extended(bench):
    forge = bench.forge()
    forge.change_quote = lambda a: replace(a, extra_data=a.extra_data[:31])
    assert refused_join(bench, forge) == Reason.EXTRA_DATA


def test_n07_nonce_as_hexadecimal_is_another_encoding(bench):
    forge = bench.forge()
    forge.change_quote = lambda a: replace(a, extra_data=a.extra_data.hex().encode())
    assert refused_join(bench, forge) == Reason.EXTRA_DATA


def test_n07_evidence_of_another_session(bench):
    forge = bench.enrol()
    hellos = [forge.attest_hello() for _ in range(2)]
    made = [bench.verifier.begin_attest(h, "camera.line-1.cam1") for h in hellos]
    _, proof = forge.answer(bench.fleet.digest, hellos[0], made[0].challenge, join=False)
    answer = bench.verifier.complete_attest(made[1].state, proof, "camera.line-1.cam1")
    assert [f.reason for f in answer.failures] == [Reason.EXTRA_DATA]


def test_n07_a_proof_is_accepted_once(bench):
    forge = bench.enrol()
    hello = forge.attest_hello()
    made = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    _, proof = forge.answer(bench.fleet.digest, hello, made.challenge, join=False)
    session = made.state
    assert bench.verifier.complete_attest(session, proof, "camera.line-1.cam1").state == "trusted"
    with pytest.raises(Refused) as caught:
        bench.verifier.complete_attest(session, proof, "camera.line-1.cam1")
    assert caught.value.reason == Reason.SESSION_UNKNOWN


def test_n07_a_late_proof_is_refused(bench):
    forge = bench.enrol()
    hello = forge.attest_hello()
    made = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    _, proof = forge.answer(bench.fleet.digest, hello, made.challenge, join=False)
    bench.clock.pass_s(61)
    with pytest.raises(Refused) as caught:
        bench.verifier.complete_attest(made.state, proof, "camera.line-1.cam1")
    assert caught.value.reason == Reason.SESSION_EXPIRED


def test_n08_ten_thousand_challenges_are_unique_and_full_size(bench):
    selection = PcrSelection(Alg.SHA256, tuple(range(8)))
    made = [
        bench.verifier._challenges.make(
            b"hello", Demand(selection=selection, want_boot_log=False), 0
        )
        for _ in range(10_000)
    ]
    assert len({c.nonce for c in made}) == 10_000 and len({c.session for c in made}) == 10_000
    assert {len(c.nonce) for c in made} == {32}
    ones = sum(bin(int.from_bytes(c.nonce, "big")).count("1") for c in made)
    assert abs(ones - 1_280_000) < 10_000, "bits of the nonces are not balanced"


def test_n09_ak_of_another_hierarchy(bench):
    forge = bench.forge()
    assert (
        refused_join(
            bench, forge.with_quote(qualified_signer=forge.ak.public.qualified_name(TPM_RH_OWNER))
        )
        == Reason.QUALIFIED_SIGNER
    )


def test_n09_qualified_signer_is_the_plain_name(bench):
    forge = bench.forge()
    assert (
        refused_join(bench, forge.with_quote(qualified_signer=forge.ak.public.name))
        == Reason.QUALIFIED_SIGNER
    )


@pytest.mark.parametrize(
    "head",
    [
        struct.pack(">HH", Alg.ECDSA, Alg.SHA1),
        struct.pack(">HH", Alg.ECDSA, Alg.SHA384),
        struct.pack(">HH", Alg.RSASSA, Alg.SHA256),
    ],
)
def test_n10_scheme_or_hash_taken_from_the_signature(bench, head):
    forge = bench.forge().with_proof(
        quote_signature=lambda s: (
            head + s[4:] if head[:2] == s[:2] else head + struct.pack(">H", 4) + b"abcd"
        )
    )
    assert refused_join(bench, forge) == Reason.SIGNATURE_SCHEME


def test_n10_signature_by_another_key(bench):
    other = Key.make(AK_ATTRS)
    forge = bench.forge()
    forge.change_proof = lambda p: {**p, "quote_signature": other.sign(p["quote_attest"])}
    assert refused_join(bench, forge) == Reason.SIGNATURE


@pytest.mark.parametrize(
    "attributes",
    [
        AK_ATTRS & ~Attr.RESTRICTED,
        AK_ATTRS & ~Attr.FIXED_TPM,
        AK_ATTRS & ~Attr.FIXED_PARENT,
        AK_ATTRS | Attr.DECRYPT,
        AK_ATTRS & ~Attr.SENSITIVE_DATA_ORIGIN,
        AK_ATTRS & ~Attr.SIGN,
        AK_ATTRS | Attr.ENCRYPTED_DUPLICATION,
        AK_ATTRS & ~Attr.NO_DA,
    ],
)
def test_n11_ak_with_wrong_attributes(bench, attributes):
    forge = bench.forge()
    forge.ak = Key.make(attributes)
    assert refused_join(bench, forge) == Reason.AK_TEMPLATE


def test_n11_ak_on_another_curve_or_with_sha1(bench):
    forge = bench.forge()
    forge.ak = Key.make(AK_ATTRS, curve=Curve.NIST_P384)
    assert refused_join(bench, forge) == Reason.AK_TEMPLATE
    with pytest.raises(EvidenceRejected):
        require_ak(Key.make(AK_ATTRS, scheme=(Alg.ECDSA, Alg.SHA1)).public)
    with pytest.raises(EvidenceRejected):
        require_ak(Key.make(AK_ATTRS, scheme=None).public)


def test_n12_name_is_computed_from_the_bytes_that_were_checked(bench):
    """Activation binds to the AK of the Hello: an attacker who swaps it after the challenge
    cannot compute the MAC.
    """
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    hello = forge.hello(code)
    made = bench.verifier.begin_join(hello, "p")
    forge.ak = Key.make(AK_ATTRS)
    with pytest.raises(ValueError, match="integrity"):
        forge.answer(bench.fleet.digest, hello, made.challenge)


def test_n13_quote_by_another_ak_than_the_activated_one(bench):
    forge, other = bench.forge(), Key.make(AK_ATTRS)

    def swap(p):
        attest = replace(
            parse_attest(p["quote_attest"]), qualified_signer=other.public.qualified_name()
        )
        from framegate.tpm.attest import marshal_attest

        raw = marshal_attest(attest)
        return {**p, "quote_attest": raw, "quote_signature": other.sign(raw)}

    forge.change_proof = swap
    assert refused_join(bench, forge) == Reason.SIGNATURE


def test_n14_wrong_mac_has_one_answer_and_ends_the_session(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    hello = forge.hello(code)
    made = bench.verifier.begin_join(hello, "p")
    mac, proof = forge.answer(bench.fleet.digest, hello, made.challenge)
    session = made.state
    with pytest.raises(EvidenceRejected) as caught:
        bench.verifier.complete_join(session, bytes(32), proof)
    assert caught.value.reason == Reason.MAC and not caught.value.authenticated
    with pytest.raises(Refused):  # the session is spent: no second guess
        bench.verifier.complete_join(session, mac, proof)
    assert bench.state() == "invited"


@pytest.mark.parametrize("mac", [b"", b"\0", b"\0" * 31, b"\0" * 33])
def test_n14_mac_of_wrong_size(bench, mac):
    forge = bench.forge()
    hello = forge.hello(bench.invite(ek=forge.ek_sha256))
    made = bench.verifier.begin_join(hello, "p")
    with pytest.raises(EvidenceRejected) as caught:
        bench.verifier.complete_join(made.state, mac, b"garbage that is never parsed")
    assert caught.value.reason == Reason.MAC


def test_n15_csr_for_another_key(bench):
    forge = bench.forge()
    assert (
        refused_join(bench, forge.with_proof(csr=forge.csr(Key.make(TLS_ATTRS)))) == Reason.CSR_KEY
    )


def test_n15_certified_key_is_not_the_tls_key(bench):
    assert (
        refused_join(bench, bench.forge().with_certify(name=Key.make(TLS_ATTRS).public.name))
        == Reason.CERTIFIED_NAME
    )


@pytest.mark.parametrize("csr", [b"", b"\x30\x03\x02\x01\x00", b"\x5a" * 200])
def test_n15_csr_that_is_none(bench, csr):
    assert refused_join(bench, bench.forge().with_proof(csr=csr)) == Reason.CSR_KEY


@pytest.mark.parametrize(
    "attributes",
    [
        TLS_ATTRS & ~Attr.FIXED_TPM,
        TLS_ATTRS & ~Attr.FIXED_PARENT,
        TLS_ATTRS | Attr.RESTRICTED,
        TLS_ATTRS | Attr.USER_WITH_AUTH,
        TLS_ATTRS | Attr.DECRYPT,
    ],
)
def test_n16_tls_key_with_wrong_attributes(bench, attributes):
    forge = bench.forge()
    forge.tls = Key.make(attributes, policy=forge.tls.public.auth_policy)
    assert refused_join(bench, forge) == Reason.TLS_TEMPLATE


def test_n16_tls_key_in_another_hierarchy(bench):
    forge = bench.forge()
    assert (
        refused_join(
            bench,
            forge.with_certify(
                certified_qualified_name=forge.tls.public.qualified_name(TPM_RH_OWNER)
            ),
        )
        == Reason.TLS_TEMPLATE
    )


@pytest.mark.parametrize("policy", [b"", b"\0" * 32])
def test_n16_tls_key_not_bound_to_the_attested_boot(bench, policy):
    forge = bench.forge()
    forge.tls = Key.make(TLS_ATTRS, policy=policy)
    assert refused_join(bench, forge) == Reason.TLS_KEY_POLICY


def quote_bytes(bench) -> bytes:
    seen = {}
    forge = bench.forge()
    forge.change_proof = lambda p: seen.update(p) or p
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


def test_n124_attest_path_with_a_flipped_signature(bench):
    forge = bench.enrol()
    forge.with_proof(quote_signature=lambda s: s[:-1] + bytes([s[-1] ^ 1]))
    answer = bench.attest(forge)
    assert [f.reason for f in answer.failures] == [Reason.SIGNATURE] and answer.certificate is None
    assert bench.state() == "trusted", "an unauthenticated failure never lowers a device"
