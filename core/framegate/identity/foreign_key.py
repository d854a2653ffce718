"""A P-256 key that only its holder can use, a TPM or a token: `cryptography` builds requests and
certificates with it by asking it to sign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused


class ForeignKey(ec.EllipticCurvePrivateKey):
    """`sign` takes a message and gives a DER ECDSA-SHA256 signature over it."""

    def __init__(self, public: ec.EllipticCurvePublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._public, self._sign = public, sign

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """DER ECDSA-SHA256 signature. Raises Refused (SIGNING_ORACLE) for anything but a whole
        message under SHA-256.
        """
        asked = signature_algorithm.algorithm if isinstance(signature_algorithm, ec.ECDSA) else None
        if not isinstance(asked, hashes.SHA256):
            raise Refused.of(
                Reason.SIGNING_ORACLE,
                "a whole message, to be signed with ECDSA and SHA-256",
                type(asked).__name__,
            )
        return self._sign(bytes(data))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Its public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """It signs, nothing else."""
        raise NotImplementedError

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """They do not leave their holder."""
        raise NotImplementedError

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> bytes:
        """They do not leave their holder."""
        raise NotImplementedError

    def __copy__(self) -> ForeignKey:
        return self

    def __deepcopy__(self, memo: Any) -> ForeignKey:
        return self
