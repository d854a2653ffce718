"""Credentials for a TPM and what they need; the policy over PCRs."""

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from framegate.errors import EvidenceRejected, Reason
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg, Attr
from framegate.tpm.credential import make_credential
from framegate.tpm.policy import policy_pcr
from framegate.tpm.public import AES_128_CFB, marshal_public_rsa, parse_public
from support.refusals import refused


def test_an_ek_that_cannot_take_a_credential(bench):
    ek = bench.forge().ek.public
    for poor in (replace(ek, symmetric=None), replace(ek, name_alg=Alg.SHA1)):
        call = lambda e=poor: make_credential(  # noqa: E731
            e, b"n" * 34, b"s" * 32, seed=bytes(32), ephemeral=None
        )
        assert refused(call, EvidenceRejected) == Reason.EK_TEMPLATE


@pytest.mark.parametrize("ephemeral", [None, ec.generate_private_key(ec.SECP384R1())])
def test_an_ephemeral_key_has_to_be_on_the_eks_curve(bench, ephemeral):
    ek = bench.forge().ek.public
    with pytest.raises(ValueError, match="ephemeral"):
        make_credential(ek, b"n" * 34, b"s" * 32, seed=bytes(32), ephemeral=ephemeral)


def test_a_policy_over_a_bank_without_a_hash():
    with pytest.raises(KeyError):
        policy_pcr(PcrSelection(Alg.NULL, (0,)), {0: b""})


def test_an_rsa_ek_gets_the_seed_itself_and_opens_what_is_made_of_it():
    private = rsa.generate_private_key(65537, 2048)
    ek = parse_public(
        marshal_public_rsa(
            attributes=Attr.RESTRICTED | Attr.DECRYPT,
            modulus=private.public_key().public_numbers().n.to_bytes(256, "big"),
            symmetric=AES_128_CFB,
        )
    )
    seed, name = os.urandom(32), b"\0\x0b" + bytes(32)
    identity, encrypted = make_credential(ek, name, b"s" * 32, seed=seed, ephemeral=None)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\0")
    assert private.decrypt(encrypted, oaep) == seed
    other, _ = make_credential(ek, name + b"x", b"s" * 32, seed=seed, ephemeral=None)
    assert identity[34:] != other[34:], "what is protected is bound to the name"
    with pytest.raises(ValueError, match="seed must have 32 bytes"):
        make_credential(ek, name, b"s" * 32, seed=bytes(16), ephemeral=None)
