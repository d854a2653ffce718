"""The maker's device identity in the TPM: an Initial Attestation Key (IAK) whose certificate, like
an EK's, tells who made the machine.

Source: TCG "TPM 2.0 Keys for Device Identity and Attestation" 1.0, sections 5 and 7; IEEE 802.1AR.
An IAK is restricted, so what it certifies lives in the same TPM: it vouches for Framegate's AK, and
through it for everything else.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from framegate.errors import EvidenceRejected, Failure, Reason
from framegate.identity.certificates import UNREADABLE
from framegate.identity.endorsement import load_chain, verify_maker_chain
from framegate.tpm.attest import parse_attest, verify_signature
from framegate.tpm.constants import TPM_GENERATED, Attr, St
from framegate.tpm.public import Public
from framegate.wire import IakCertifyData, sha256

IAK_USAGE: Final = x509.ObjectIdentifier("2.23.133.8.3")
"""tcg-kp-AIKCertificate."""
_MUST: Final = (
    Attr.FIXED_TPM | Attr.FIXED_PARENT | Attr.SENSITIVE_DATA_ORIGIN | Attr.RESTRICTED | Attr.SIGN
)


def require_initial_key(key: Public) -> None:
    """That a key can vouch for others of its TPM: a restricted signing key born in and fixed to it,
    with a scheme of its own. Raises EvidenceRejected (AK_TEMPLATE).
    """
    if _MUST & ~key.attributes or key.attributes & Attr.DECRYPT or key.scheme is None:
        raise EvidenceRejected(
            [
                Failure(
                    Reason.AK_TEMPLATE,
                    f"an IAK with {_MUST!r} and a scheme",
                    f"{key.attributes!r}",
                    "an unrestricted key cannot vouch for another",
                )
            ]
        )


def verify_iak(
    iak: Public, chain: Sequence[bytes], roots: Sequence[x509.Certificate], now: datetime
) -> x509.Certificate:
    """Establish that a maker vouches for `iak`; `chain[0]` is its certificate. Returns that
    certificate.

    1. the IAK is a restricted signing key born in and fixed to its TPM, with a scheme of its own;
    2. a chain of valid signatures, alive at `now`, from a certificate with EKU 2.23.133.8.3, no CA,
       to one of `roots`;
    3. the certificate's key *is* the IAK.

    Raises Malformed or EvidenceRejected (AK_TEMPLATE, EK_CHAIN, EK_CERTIFICATE_KEY).
    """
    require_initial_key(iak)  # 1
    leaf = verify_maker_chain(load_chain(chain), roots, now, IAK_USAGE, signing=True)  # 2
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        same = leaf.public_key().public_bytes(*form) == iak.key().public_bytes(*form)  # 3
    except UNREADABLE:
        same = False
    if not same:
        raise EvidenceRejected(
            [Failure(Reason.EK_CERTIFICATE_KEY, "the certificate's own IAK", "another key")]
        )
    return leaf


def iak_certify_data(t: bytes, ak_name: bytes) -> bytes:
    """qualifyingData of the IAK's certification of an AK, 32 bytes."""
    return sha256(IakCertifyData(transcript=t, ak_name=ak_name).marshal())


def verify_iak_certification(
    iak: Public, ak: Public, attest: bytes, signature: bytes, t: bytes
) -> None:
    """`iak` certifies, in this session, that `ak` lives in its TPM.

    1. signature over the raw bytes by the scheme pinned in the IAK;
    2. magic;
    3. type certify;
    4. qualifiedSigner is the IAK's, a primary of the endorsement hierarchy;
    5. extraData is of this session, constant time;
    6. certified name and qualified name are the AK's.

    Raises Malformed or EvidenceRejected.
    """
    verify_signature(iak, attest, signature)  # 1
    statement = parse_attest(attest)
    checks = (
        (
            Reason.MAGIC,
            f"0x{TPM_GENERATED:08x}",
            f"0x{statement.magic:08x}",
            statement.magic == TPM_GENERATED,
        ),
        (
            Reason.ATTEST_TYPE,
            St.ATTEST_CERTIFY.name,
            f"0x{statement.type:04x}",
            statement.type == St.ATTEST_CERTIFY,
        ),
        (
            Reason.QUALIFIED_SIGNER,
            iak.qualified_name().hex(),
            statement.qualified_signer.hex(),
            statement.qualified_signer == iak.qualified_name(),
        ),
        (
            Reason.EXTRA_DATA,
            "the nonce of this session",
            "another",
            hmac.compare_digest(statement.extra_data, iak_certify_data(t, ak.name)),
        ),
        (
            Reason.CERTIFIED_NAME,
            ak.name.hex(),
            statement.name.hex(),
            statement.name == ak.name and statement.certified_qualified_name == ak.qualified_name(),
        ),
    )
    for reason, expected, actual, good in checks:
        if not good:
            raise EvidenceRejected(
                [Failure(reason, expected, actual, "the IAK does not vouch for this AK")]
            )
