"""An Attestation Result as EAR claims, for whoever holds the key that signs them.

Source: draft-ietf-rats-ear (EAT Attestation Results) and draft-ietf-rats-ar4si (trustworthiness vectors). The JWT around them is a library's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EAR_PROFILE: Final = "tag:ietf.org,2026:rats/ear#01"
SUBMOD: Final = "framegate"
VECTOR_CLAIMS: Final = ("instance-identity", "configuration", "executables", "file-system", "hardware", "runtime-opaque", "storage-opaque", "sourced-data")
"""AR4SI 2.3; what Framegate says nothing about is left out."""


def ear_status(vector: Mapping[str, int]) -> str:
    """The overall status: the worst claim made (draft-ietf-rats-ear 3.1)."""
    worst = max((v for v in vector.values() if v), default=0)
    return "none" if worst == 0 else "affirming" if worst < 32 else "warning" if worst < 96 else "contraindicated"


def ear_claims(
    *, device: str, result_id: str, vector: Mapping[str, int], profile: str, profile_sha256: bytes, evidence_sha256: bytes, failures: list[dict[str, str]],
    findings: list[dict[str, str]], tpm: Mapping[str, Any], controller: str, build: str, issued_at_s: int, expires_at_s: int,
) -> dict[str, Any]:  # fmt: skip
    """The claims set of one result. Text of failures may hold a device's words; it is JSON, and nothing decides on it."""
    return {
        "eat_profile": EAR_PROFILE, "iat": issued_at_s, "exp": expires_at_s, "sub": device, "jti": result_id,
        "ear.verifier-id": {"developer": "Framegate", "build": f"{controller} {build}"},
        "submods": {
            SUBMOD: {
                "ear.status": ear_status(vector), "ear.trustworthiness-vector": {k: vector[k] for k in VECTOR_CLAIMS if k in vector},
                "ear.appraisal-policy-id": f"{profile} sha256:{profile_sha256.hex()}",
                "framegate.evidence.verify-sha256": evidence_sha256.hex(), "framegate.failures": failures, "framegate.findings": findings, "framegate.tpm": dict(tpm),
            }
        },
    }  # fmt: skip
