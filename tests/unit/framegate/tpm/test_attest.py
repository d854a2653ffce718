"""Signatures of a TPM's keys, by the scheme that the key pins."""

import struct
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from framegate.errors import EvidenceRejected, Malformed, Reason
from framegate.tpm.attest import marshal_ecdsa_signature, parse_attest, verify_signature
from framegate.tpm.buffer import Buffer, tpm2b
from framegate.tpm.constants import TPM_GENERATED, Alg, St
from framegate.tpm.public import AK_ATTRS
from framegate_simulators.forge.forge import Key
from support.refusals import refused


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\4abc", b"\0\5abcde", b"\xff\xff" + bytes(9)])
def test_what_is_sized_is_all_there_and_no_larger_than_it_may_be(data):
    reader = Buffer(data, "a structure")
    with pytest.raises(Malformed):
        reader.tpm2b("a member", 4)
    assert Buffer(b"\0\4abcd", "a structure").tpm2b("a member", 4) == b"abcd"


@pytest.mark.parametrize("safe", [2, 255])
def test_a_clock_is_safe_or_is_not(safe):
    head = struct.pack(">IH", TPM_GENERATED, St.ATTEST_TIME) + tpm2b(b"") + tpm2b(b"")
    assert parse_attest(head + struct.pack(">QIIBQ", 9, 8, 7, 1, 6)).clock_info.safe
    with pytest.raises(Malformed, match="TPMI_YES_NO"):
        parse_attest(head + struct.pack(">QIIBQ", 9, 8, 7, safe, 6))


@cache
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def rsa_signature(scheme: Alg, message: bytes) -> bytes:
    pad = (
        padding.PKCS1v15()
        if scheme == Alg.RSASSA
        else padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    )
    value = rsa_key().sign(message, pad, hashes.SHA256())
    return struct.pack(">HH", scheme, Alg.SHA256) + tpm2b(value)


@pytest.mark.parametrize("scheme", [Alg.RSASSA, Alg.RSAPSS])
def test_an_rsa_key_signs_by_its_scheme_and_no_other(scheme):
    public = SimpleNamespace(scheme=(scheme, Alg.SHA256), key=rsa_key().public_key)
    verify_signature(public, b"message", rsa_signature(scheme, b"message"))
    other = Alg.RSAPSS if scheme == Alg.RSASSA else Alg.RSASSA
    for signature, reason in (
        (rsa_signature(scheme, b"another"), Reason.SIGNATURE),
        (rsa_signature(other, b"message"), Reason.SIGNATURE_SCHEME),
        (marshal_ecdsa_signature(1, 1), Reason.SIGNATURE_SCHEME),
    ):
        call = lambda s=signature: verify_signature(public, b"message", s)  # noqa: E731
        assert refused(call, EvidenceRejected) == reason


def test_a_key_whose_scheme_is_of_another_kind_or_none_or_sha_1():
    """A public area that says RSASSA over an elliptic curve verifies nothing."""
    key = Key.make(AK_ATTRS)
    for scheme, reason in (
        ((Alg.ECDSA, Alg.SHA1), Reason.SIGNATURE_SCHEME),
        (None, Reason.SIGNATURE_SCHEME),
        ((Alg.RSASSA, Alg.SHA256), Reason.SIGNATURE_SCHEME),
    ):
        public = replace(key.public, scheme=scheme)
        signature = rsa_signature(Alg.RSASSA, b"m")
        call = lambda p=public, s=signature: verify_signature(p, b"m", s)  # noqa: E731
        assert refused(call, EvidenceRejected) == reason
