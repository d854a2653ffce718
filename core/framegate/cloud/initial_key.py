"""What vouches for a key that vouches for Framegate's AK: a maker's certificate, or what a provider
of virtual machines gives in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from framegate.cloud.hcl_report import is_hcl_report, verify_hcl_report
from framegate.cloud.instance_info import is_google_certificate, verify_google_key
from framegate.cloud.revocations import RevocationList
from framegate.identity.device_identity import require_initial_key, verify_iak
from framegate.identity.evidence_form import EvidenceForm
from framegate.tpm.public import Public


@dataclass(frozen=True, slots=True)
class Vouched:
    """Who vouches for a key: in which form, and in words; made by `verify_initial_key`."""

    form: EvidenceForm
    words: str


def verify_initial_key(
    key: Public,
    documents: Sequence[bytes],
    roots: Sequence[x509.Certificate],
    now: datetime,
    revocations: Sequence[RevocationList] = (),
) -> Vouched:
    """Establish that somebody in `roots` vouches for `key`; `documents[0]` says who, the rest are
    what is needed to verify it. `revocations` are what makers of chips took back.

    1. the key is a restricted signing key born in and fixed to its TPM, with a scheme of its own
       (`require_initial_key`): what it certifies lives in the same TPM;
    2. the first document decides by its own bytes which one verifies it: an HCL report
       (`verify_hcl_report`), a certificate that names an instance of Google's
       (`verify_google_key`), else a maker's certificate of an IAK (`verify_iak`). None is tried
       after another: what one refuses, no other takes.

    Raises Malformed or EvidenceRejected.
    """
    require_initial_key(key)  # 1
    first = documents[0] if documents else b""
    if is_hcl_report(first):  # 2
        guest = verify_hcl_report(first, key, documents[1:], roots, now, revocations)
        chip = guest.report.chip.hex()[:16]
        words = f"VM {guest.vm}, chip {chip}…, TCB {guest.report.tcb.hex()}"
        return Vouched(EvidenceForm.AZURE_SNP, words)
    if is_google_certificate(first):
        instance = verify_google_key(key, documents, roots, now)
        return Vouched(EvidenceForm.GOOGLE, f"instance {instance}")
    leaf = verify_iak(key, documents, roots, now)
    return Vouched(EvidenceForm.IAK, f"{leaf.serial_number:x} by {leaf.issuer.rfc4514_string()}")
