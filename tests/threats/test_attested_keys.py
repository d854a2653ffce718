"""N09 to N13, N15, N16: which key signed, which key was certified, and what such a key must be."""

import struct
from dataclasses import replace
from dataclasses import replace as changed

import pytest

from framegate.errors import EvidenceRejected, Reason
from framegate.tpm.attest import (
    parse_attest,
)
from framegate.tpm.constants import TPM_RH_OWNER, Alg, Attr, Curve
from framegate.tpm.public import AK_ATTRS, TLS_ATTRS, require_ak
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
    forge = bench.forge().with_evidence(
        quote_signature=lambda s: (
            head + s[4:] if head[:2] == s[:2] else head + struct.pack(">H", 4) + b"abcd"
        )
    )
    assert refused_join(bench, forge) == Reason.SIGNATURE_SCHEME


def test_n10_signature_by_another_key(bench):
    other = Key.make(AK_ATTRS)
    forge = bench.forge()
    forge.change_evidence = lambda p: {**p, "quote_signature": other.sign(p["quote_attest"])}
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
    begun = bench.verifier.begin_join(hello, "p")
    forge.ak = Key.make(AK_ATTRS)
    with pytest.raises(ValueError, match="integrity"):
        forge.answer(bench.fleet.digest, hello, begun.challenge)


def test_n13_quote_by_another_ak_than_the_activated_one(bench):
    forge, other = bench.forge(), Key.make(AK_ATTRS)

    def swap(p):
        attest = replace(
            parse_attest(p["quote_attest"]), qualified_signer=other.public.qualified_name()
        )
        from framegate.tpm.attest import marshal_attest

        raw = marshal_attest(attest)
        return {**p, "quote_attest": raw, "quote_signature": other.sign(raw)}

    forge.change_evidence = swap
    assert refused_join(bench, forge) == Reason.SIGNATURE


def test_n15_csr_for_another_key(bench):
    forge = bench.forge()
    assert (
        refused_join(bench, forge.with_evidence(csr=forge.csr(Key.make(TLS_ATTRS))))
        == Reason.CSR_KEY
    )


def test_n15_certified_key_is_not_the_tls_key(bench):
    assert (
        refused_join(bench, bench.forge().with_certify(name=Key.make(TLS_ATTRS).public.name))
        == Reason.CERTIFIED_NAME
    )


@pytest.mark.parametrize("csr", [b"", b"\x30\x03\x02\x01\x00", b"\x5a" * 200])
def test_n15_csr_that_is_none(bench, csr):
    assert refused_join(bench, bench.forge().with_evidence(csr=csr)) == Reason.CSR_KEY


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


def test_n124_attest_path_with_a_flipped_signature(bench):
    forge = bench.enrol()
    forge.with_evidence(quote_signature=lambda s: s[:-1] + bytes([s[-1] ^ 1]))
    answer = bench.attest(forge)
    assert [f.reason for f in answer.failures] == [Reason.SIGNATURE] and answer.certificate is None
    assert bench.state() == "trusted", "an unauthenticated failure never lowers a device"
