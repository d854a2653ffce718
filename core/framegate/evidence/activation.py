"""The activation MAC: proof that the sender's TPM opened the credential made for exactly this EK
and AK.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from framegate.errors import EvidenceRejected, Failure, Reason
from framegate.wire import MAX_EVIDENCE_BYTES, sha256

_LABEL = b"framegate/v2/activation"


class EvidencePromise(NamedTuple):
    """What evidence is going to come: how many bytes, and their SHA-256. It is judged before they
    are read.
    """

    size: int
    sha256: bytes

    @classmethod
    def of(cls, evidence: bytes) -> Self:
        """What whoever holds `evidence` can promise."""
        return cls(len(evidence), sha256(evidence))


def activation_mac(secret: bytes, t: bytes, promise: EvidencePromise) -> bytes:
    """HMAC-SHA256 under HKDF(secret, salt T) over label, T, and size (32 bits, big-endian) and
    digest of the evidence: 32 bytes.
    """
    key = HKDF(hashes.SHA256(), 32, t, _LABEL).derive(secret)
    size = promise.size.to_bytes(4, "big")
    return hmac.digest(key, _LABEL + b"\0" + t + size + promise.sha256, "sha256")


def verify_activation(secret: bytes, t: bytes, promise: EvidencePromise, mac: bytes) -> None:
    """That a promise is of the TPM with this EK and AK, before a byte of its evidence is read.

    1. the size is one that evidence can have;
    2. `mac` is the activation MAC over the promise, compared in constant time.

    That the evidence is what was promised, the caller MUST establish. Raises EvidenceRejected
    (MAC): one reason for every failure, since the answer must not tell a stranger which part was
    wrong (N14).
    """
    sound = 0 < promise.size <= MAX_EVIDENCE_BYTES  # 1
    # 2: a size that nothing can have is none that is hashed
    if not sound or not hmac.compare_digest(activation_mac(secret, t, promise), mac):
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
