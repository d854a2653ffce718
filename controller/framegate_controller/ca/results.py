"""Sign Attestation Results as EAR JWTs (ES256), and verify them offline with nothing but the fleet's root."""

from __future__ import annotations

import base64
from typing import Any, Final

import jwt
from cryptography import x509

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import Purpose, from_ms, load_certificate, verify_certificate
from framegate_controller.ca.keys import SigningKey

MAX_EAR_BYTES: Final = 256 * 1024
"""A result with some hundred failures; each is a few hundred bytes."""


def sign_ear(claims: dict[str, Any], key: SigningKey) -> str:
    """The JWT of `claims`, with the signing certificate beside it (x5c), as RFC 7515 has it."""
    return jwt.encode(claims, key.key, algorithm="ES256", headers={"typ": "JWT", "x5c": [base64.b64encode(key.der).decode()]})


def verify_ear(token: str, root: x509.Certificate) -> dict[str, Any]:
    """The claims of an EAR, after:

    1. its certificate is a result key of the fleet whose `root` this is, at the time the result says it was made;
    2. its signature is that key's, ES256, over header and claims.

    An old EAR stays provable: whether it still stands is for `exp` and the reader. Raises Malformed or Refused.
    """
    if len(token) > MAX_EAR_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"an EAR of at most {MAX_EAR_BYTES} bytes", len(token))
    try:
        header = jwt.get_unverified_header(token)
        (encoded,) = header["x5c"]
        certificate = load_certificate(base64.b64decode(encoded, validate=True))
        claimed = jwt.decode(token, options={"verify_signature": False})
        when = from_ms(1000 * int(claimed["iat"]))
    except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        raise Malformed.of(Reason.ENVELOPE, "an EAR: a JWT with one certificate in x5c and iat", type(error).__name__) from error
    signer = verify_certificate(certificate, Purpose.RESULT, (), root, when)  # 1
    try:
        claims: dict[str, Any] = jwt.decode(token, signer.key, algorithms=["ES256"], options={"verify_exp": False, "verify_iat": False, "verify_nbf": False})  # 2
    except jwt.PyJWTError as error:
        raise Refused.of(Reason.SIGNATURE, "the result key's signature over this EAR", type(error).__name__) from error
    return claims
