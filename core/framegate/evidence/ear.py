"""Attestation Results as EAR: claims in a JWT (ES256), verified offline with the fleet's root.

Source: draft-ietf-rats-ear (EAT Attestation Results) and draft-ietf-rats-ar4si (trustworthiness
vectors). The JWT around them is a library's.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, Protocol

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import (
    Purpose,
    from_ms,
    load_certificate,
    verify_certificate,
)

EAR_PROFILE: Final = "tag:ietf.org,2026:rats/ear#01"
SUBMOD: Final = "framegate"
MAX_EAR_BYTES: Final = 256 * 1024
"""A result with some hundred failures; each is a few hundred bytes."""
VECTOR_CLAIMS: Final = (
    "instance-identity",
    "configuration",
    "executables",
    "file-system",
    "hardware",
    "runtime-opaque",
    "storage-opaque",
    "sourced-data",
)
"""AR4SI 2.3; what Framegate says nothing about is left out."""


def ear_status(vector: Mapping[str, int]) -> str:
    """The overall status: the worst claim made (draft-ietf-rats-ear 3.1)."""
    worst = max((v for v in vector.values() if v), default=0)
    return (
        "none"
        if worst == 0
        else "affirming"
        if worst < 32
        else "warning"
        if worst < 96
        else "contraindicated"
    )


def ear_claims(  # noqa: PLR0913 - members of a record
    *,
    device: str,
    result_id: str,
    vector: Mapping[str, int],
    profile: str,
    profile_sha256: bytes,
    evidence_sha256: bytes,
    failures: list[dict[str, str]],
    findings: list[dict[str, str]],
    tpm: Mapping[str, Any],
    controller: str,
    build: str,
    issued_at_s: int,
    expires_at_s: int,
) -> dict[str, Any]:
    """The claims set of one result. Text of failures may hold a device's words; it is JSON, and
    nothing decides on it.
    """
    return {
        "eat_profile": EAR_PROFILE,
        "iat": issued_at_s,
        "exp": expires_at_s,
        "sub": device,
        "jti": result_id,
        "ear.verifier-id": {"developer": "Framegate", "build": f"{controller} {build}"},
        "submods": {
            SUBMOD: {
                "ear.status": ear_status(vector),
                "ear.trustworthiness-vector": {k: vector[k] for k in VECTOR_CLAIMS if k in vector},
                "ear.appraisal-policy-id": f"{profile} sha256:{profile_sha256.hex()}",
                "framegate.evidence-sha256": evidence_sha256.hex(),
                "framegate.failures": failures,
                "framegate.findings": findings,
                "framegate.tpm": dict(tpm),
            }
        },
    }


class ResultKey(Protocol):
    """What signs results: a private key, and the certificate (DER) that says what it is for."""

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """On P-256."""

    @property
    def der(self) -> bytes:
        """The certificate."""


def sign_ear(claims: Mapping[str, Any], key: ResultKey) -> str:
    """The JWT of `claims`, with the signing certificate beside it (x5c), as RFC 7515 has it."""
    headers = {"typ": "JWT", "x5c": [base64.b64encode(key.der).decode()]}
    return jwt.encode(dict(claims), key.key, algorithm="ES256", headers=headers)


def verify_ear(token: str, root: x509.Certificate) -> dict[str, Any]:
    """The claims of an EAR, after:

    1. its certificate is a result key of the fleet whose `root` this is, at the time the result
       says it was made;
    2. its signature is that key's, ES256, over header and claims.

    An old EAR stays provable: whether it still stands is for `exp` and the reader.
    Raises Malformed or Refused.
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
        raise Malformed.of(
            Reason.ENVELOPE,
            "an EAR: a JWT with one certificate in x5c and iat",
            type(error).__name__,
        ) from error
    signer = verify_certificate(certificate, Purpose.RESULT, (), root, when)  # 1
    whenever: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    try:
        claims: dict[str, Any] = jwt.decode(  # 2
            token, signer.key, algorithms=["ES256"], options=whenever
        )
    except jwt.PyJWTError as error:
        raise Refused.of(
            Reason.SIGNATURE, "the result key's signature over this EAR", type(error).__name__
        ) from error
    return claims
