"""Keys and certificates in PEM."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from framegate.errors import Malformed, Reason, Refused
from framegate.identity import pem
from support.refusals import refused

KEY = ec.generate_private_key(ec.SECP256R1())


def public_of(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_what_was_written_is_read(keys):
    assert pem.private_key(pem.private_pem(KEY), "a file").private_numbers() == (
        KEY.private_numbers()
    )
    assert pem.public_key(public_of(KEY), "a file") == KEY.public_key()
    assert pem.certificate(keys.root.pem, "a file") == keys.root.certificate


@pytest.mark.parametrize("read", [pem.private_key, pem.public_key, pem.certificate])
def test_what_is_no_pem_is_said_with_its_place(read):
    for data in (b"", b"junk", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(Malformed) as caught:
            read(data, "the file x")
        assert caught.value.reason == Reason.USAGE and "the file x" in str(caught.value)


def test_keys_of_another_kind():
    other = rsa.generate_private_key(65537, 2048)
    private = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert refused(lambda: pem.private_key(private, "x"), Refused) == Reason.USAGE
    assert refused(lambda: pem.public_key(public_of(other), "x"), Refused) == Reason.USAGE
