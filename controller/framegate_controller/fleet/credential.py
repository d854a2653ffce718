"""What only the challenged TPM can open."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.tpm.constants import DIGEST_SIZE
from framegate.tpm.credential import make_credential
from framegate.tpm.public import Public


def activation_credential(ek: Public, ak: Public, secret: bytes) -> tuple[bytes, bytes]:
    """(credential, encrypted secret) that only the TPM with this EK and an AK of this name
    opens.
    """
    key = ek.key()
    ephemeral = (
        ec.generate_private_key(key.curve) if isinstance(key, ec.EllipticCurvePublicKey) else None
    )
    return make_credential(
        ek, ak.name, secret, seed=secrets.token_bytes(DIGEST_SIZE[ek.name_alg]), ephemeral=ephemeral
    )
