"""Credentials for a TPM and what they need; the policy over PCRs."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import EvidenceRejected, Reason
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate.tpm.credential import make_credential
from framegate.tpm.policy import policy_pcr
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
