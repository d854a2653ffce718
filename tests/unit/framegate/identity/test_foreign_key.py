"""A key that somebody else holds: it signs whole messages under SHA-256 and does nothing else."""

import copy

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from framegate.errors import Reason
from framegate.identity.foreign_key import ForeignKey
from support.refusals import refused

HELD = ec.generate_private_key(ec.SECP256R1())
KEY = ForeignKey(HELD.public_key(), lambda m: HELD.sign(m, ec.ECDSA(hashes.SHA256())))


def test_it_signs_for_whoever_holds_it():
    HELD.public_key().verify(
        KEY.sign(b"message", ec.ECDSA(hashes.SHA256())), b"message", ec.ECDSA(hashes.SHA256())
    )
    assert KEY.public_key() == HELD.public_key() and KEY.key_size == 256
    assert KEY.curve.name == "secp256r1" and copy.copy(KEY) is KEY and copy.deepcopy(KEY) is KEY


@pytest.mark.parametrize(
    "algorithm", [ec.ECDSA(hashes.SHA384()), ec.ECDSA(utils.Prehashed(hashes.SHA256()))]
)
def test_it_is_no_oracle_for_digests(algorithm):
    assert refused(lambda: KEY.sign(bytes(32), algorithm)) == Reason.SIGNING_ORACLE


def test_it_gives_nothing_away():
    for call in (
        lambda: KEY.exchange(ec.ECDH(), HELD.public_key()),
        KEY.private_numbers,
        lambda: KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    ):
        with pytest.raises(NotImplementedError):
            call()
