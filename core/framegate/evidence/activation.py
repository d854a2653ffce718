"""The activation MAC: proof that the sender's TPM opened the credential made for exactly this EK
and AK.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from framegate.errors import EvidenceRejected, Failure, Reason
from framegate.wire import sha256

_LABEL = b"framegate/v1/activation"


def activation_mac(secret: bytes, t: bytes, evidence: bytes) -> bytes:
    """HMAC-SHA256 under HKDF(secret, salt T) over label, T and the digest of the evidence's bytes:
    32 bytes.
    """
    key = HKDF(hashes.SHA256(), 32, t, _LABEL).derive(secret)
    return hmac.digest(key, _LABEL + b"\0" + t + sha256(evidence), "sha256")


def verify_activation(secret: bytes, t: bytes, evidence: bytes, mac: bytes) -> None:
    """`mac` is the activation MAC, compared in constant time before anything in `evidence` is read.
    Raises EvidenceRejected (MAC).

    One reason for every failure: the answer must not tell a stranger which part was wrong (N14).
    """
    if not hmac.compare_digest(activation_mac(secret, t, evidence), mac):
        raise EvidenceRejected(
            [
                Failure(
                    Reason.MAC,
                    "the MAC of the TPM that holds this EK and AK",
                    "another",
                    "join again; if it persists, run framegate-agent doctor",
                )
            ]
        )
