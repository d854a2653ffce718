"""Keys under which files may be signed."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import SubjectKeyIdentifier

from framegate.ima.judge import key_id


def pem_of(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_key_is_named_by_the_end_of_its_identifier():
    key = ec.generate_private_key(ec.SECP256R1())
    identifier, public = key_id(pem_of(key))
    whole = SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    assert identifier == whole[-4:] and public == key.public_key()


def test_keys_that_sign_no_files():
    with pytest.raises(ValueError, match="an RSA or ECC key"):
        key_id(pem_of(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(ValueError, match="PEM"):
        key_id(b"junk")
