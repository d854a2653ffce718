"""Templates a TPM makes its endorsement and storage root keys from: the same key every time."""

from __future__ import annotations

from typing import Final

from framegate.tpm.constants import Alg, Attr, Curve
from framegate.tpm.public import (
    AES_128_CFB,
    AES_256_CFB,
    EK_POLICY_B_SHA256,
    EK_POLICY_B_SHA384,
    EK_POLICY_SECRET,
    marshal_public,
    marshal_public_rsa,
)

_LOW, _HIGH = (
    Attr.FIXED_TPM
    | Attr.FIXED_PARENT
    | Attr.SENSITIVE_DATA_ORIGIN
    | Attr.ADMIN_WITH_POLICY
    | Attr.RESTRICTED
    | Attr.DECRYPT,
    Attr.USER_WITH_AUTH,
)
_ZERO32 = b"\0" * 32

EK_TEMPLATES: Final[dict[int, tuple[str, bytes]]] = {
    0x01C0000A: (
        "ECC P-256, low range",
        marshal_public(
            attributes=_LOW,
            curve=Curve.NIST_P256,
            x=_ZERO32,
            y=_ZERO32,
            auth_policy=EK_POLICY_SECRET,
            symmetric=AES_128_CFB,
        ),
    ),
    0x01C00014: (
        "ECC P-256, high range",
        marshal_public(
            attributes=_LOW | _HIGH,
            curve=Curve.NIST_P256,
            x=b"",
            y=b"",
            auth_policy=EK_POLICY_B_SHA256,
            symmetric=AES_128_CFB,
        ),
    ),
    0x01C00016: (
        "ECC P-384, high range",
        marshal_public(
            attributes=_LOW | _HIGH,
            curve=Curve.NIST_P384,
            x=b"",
            y=b"",
            auth_policy=EK_POLICY_B_SHA384,
            name_alg=Alg.SHA384,
            symmetric=AES_256_CFB,
        ),
    ),
    0x01C00002: (
        "RSA-2048, low range",
        marshal_public_rsa(
            attributes=_LOW,
            modulus=b"\0" * 256,
            auth_policy=EK_POLICY_SECRET,
            symmetric=AES_128_CFB,
        ),
    ),
}
"""NV index of the certificate to (label, template), in the order of preference (TCG EK Credential
Profile, table 2).
"""

STORAGE_TEMPLATE: Final = marshal_public(
    attributes=Attr.FIXED_TPM
    | Attr.FIXED_PARENT
    | Attr.SENSITIVE_DATA_ORIGIN
    | Attr.USER_WITH_AUTH
    | Attr.NO_DA
    | Attr.RESTRICTED
    | Attr.DECRYPT,
    curve=Curve.NIST_P256,
    x=_ZERO32,
    y=_ZERO32,
    symmetric=AES_128_CFB,
)
"""The storage root key's template (TCG TPM v2.0 Provisioning Guidance, 7.5.1): made anew for each
use, the same key every time.
"""
