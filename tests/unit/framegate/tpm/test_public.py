"""Public areas of keys that are none, and which of them are endorsement keys."""

import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from framegate.errors import EvidenceRejected, Malformed, Reason
from framegate.tpm.buffer import tpm2b
from framegate.tpm.constants import Alg, Attr, Curve
from framegate.tpm.public import (
    AES_128_CFB,
    AK_ATTRS,
    EK_POLICY_SECRET,
    marshal_public,
    marshal_public_rsa,
    parse_public,
    require_ek,
)

MODULUS = b"\xc5" * 256  # nobody signs or decrypts with it
RSA = rsa.RSAPublicNumbers(65537, int.from_bytes(MODULUS, "big")).public_key()
EK_ATTRS = (
    Attr.FIXED_TPM
    | Attr.FIXED_PARENT
    | Attr.SENSITIVE_DATA_ORIGIN
    | Attr.ADMIN_WITH_POLICY
    | Attr.RESTRICTED
    | Attr.DECRYPT
)


def storage_key(**changes) -> bytes:
    """A TCG RSA EK (template L-1)."""
    return marshal_public_rsa(
        **{
            "attributes": EK_ATTRS,
            "modulus": MODULUS,
            "auth_policy": EK_POLICY_SECRET,
            "symmetric": AES_128_CFB,
            **changes,
        }
    )


def test_an_rsa_ek_of_the_template_and_the_nearest_that_is_none():
    public = parse_public(storage_key())
    require_ek(public)
    assert public.key().public_numbers() == RSA.public_numbers()
    for change in ({"auth_policy": b""}, {"symmetric": None}, {"attributes": AK_ATTRS}):
        with pytest.raises(EvidenceRejected) as caught:
            require_ek(parse_public(storage_key(**change)))
        assert caught.value.reason == Reason.EK_TEMPLATE


@pytest.mark.parametrize(
    ("raw", "reason", "message"),
    [
        (bytes(70_000), Reason.TOO_LARGE, "a public area of at most"),
        (
            marshal_public(attributes=AK_ATTRS, curve=Curve.NIST_P256, x=b"\1" * 33, y=b"\1" * 32),
            Reason.MALFORMED,
            "coordinates of 32 bytes",
        ),
        (
            marshal_public(attributes=AK_ATTRS, curve=0x0010, x=b"\1" * 32, y=b"\1" * 32),
            Reason.UNKNOWN_ALGORITHM,
            "curve P-256 or P-384",
        ),
        (storage_key(modulus=MODULUS[:200]), Reason.MALFORMED, "2048, 3072 or 4096 bits"),
        (storage_key(modulus=b"\x7f" + MODULUS[1:]), Reason.MALFORMED, "a modulus of 2048 bits"),
        (
            storage_key()[: -len(tpm2b(MODULUS))] + tpm2b(MODULUS[:-1]),
            Reason.MALFORMED,
            "a modulus of 2048 bits",
        ),
        (
            struct.pack(">HHI", Alg.ECC, Alg.SHA256, 1 << 3) + bytes(60),
            Reason.MALFORMED,
            "known object attributes",
        ),
    ],
    ids=["huge", "long", "curve", "short", "unnormalised", "cut", "attributes"],
)
def test_public_areas_that_are_none(raw, reason, message):
    with pytest.raises(Malformed, match=message) as caught:
        parse_public(raw)
    assert caught.value.reason == reason


def test_a_point_off_its_curve_is_no_key():
    off = marshal_public(attributes=AK_ATTRS, curve=Curve.NIST_P256, x=b"\1" * 32, y=b"\1" * 32)
    with pytest.raises(Malformed, match="a key that exists"):
        parse_public(off).key()
