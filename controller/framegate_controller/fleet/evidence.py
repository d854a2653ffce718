"""Evidence as it is kept: what came, once for each content, so that any decision can be replayed.

Nothing is kept that is not needed for that.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Final

from framegate.errors import FramegateError, Reason, Refused
from framegate.eventlog.quirks import Grants
from framegate.evidence.appraise import AttestationResult
from framegate.evidence.verify import Expectation, VerifiedEvidence
from framegate.identity.names import DeviceId
from framegate.profile.posture import parse_posture
from framegate.registry.evidence import KeptEvidence
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate.tpm.public import parse_public
from framegate.wire import sha256
from framegate_controller.store.ports import Transaction

KEEP_MS: Final = 30 * 86_400_000
"""Evidence is kept for 30 days after it was last seen: a profile can be tried on a month's life."""

MOST_KEPT: Final = 512
MOST_KEPT_BYTES: Final = 16 * 1024 * 1024
"""Pieces of evidence of one machine, and their bytes as they are kept, compressed, with logs: one
that says something else every minute (N132) loses its own oldest. A sound one has some dozen a
month, of some hundred KiB together.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """Evidence of `device` that verified: what was expected of it, what it is and came to under the
    profile `label`, its bytes, its result signed.
    """

    device: DeviceId
    expected: Expectation
    evidence: VerifiedEvidence
    result: AttestationResult
    label: str
    raw: bytes
    ear: str


def kept_evidence(proved: Proved, now_ms: int) -> KeptEvidence:
    """As it is to be kept, under an id of its own. Touches no store: digests and JSON are made
    before anybody waits.
    """
    expected, evidence, result = proved.expected, proved.evidence, proved.result
    boot_log = sha256(evidence.boot_log_bytes)
    return KeptEvidence(
        id=secrets.token_hex(16),
        device=proved.device,
        content_sha256=_content(boot_log, expected, evidence, result, proved.label),
        first_ms=now_ms,
        last_ms=now_ms,
        count=1,
        join=expected.join,
        transcript=expected.transcript,
        ak_public=expected.ak.raw,
        tls_public=expected.tls.raw,
        bank=expected.selection.bank,
        pcrs=expected.selection.pcrs,
        boot_log_sha256=boot_log,
        ima_entries=_entries(evidence),
        reset_count=evidence.clock.reset_count,
        restart_count=evidence.clock.restart_count,
        raw=proved.raw,
        profile=proved.label,
        affirming=result.affirming,
        failures=result.failures,
        vector=dict(result.vector),
        ear=proved.ear,
    )


def store_evidence(tx: Transaction, kept: KeptEvidence, evidence: VerifiedEvidence) -> str:
    """Keep it; returns the id it is kept under. The same content as the device's last only counts
    as seen again.
    """
    _keep_list(tx, kept.device, evidence)
    again = tx.evidence.seen_again(kept.device, kept.content_sha256, kept.ear, tx.now_ms)
    if again is not None:
        return again
    tx.evidence.keep_boot_log(kept.boot_log_sha256, evidence.boot_log_bytes)
    tx.evidence.add(kept)
    tx.evidence.prune(kept.device, tx.now_ms - KEEP_MS)
    tx.evidence.trim(kept.device, MOST_KEPT, MOST_KEPT_BYTES)
    return kept.id


def _content(
    boot_log: bytes,
    expected: Expectation,
    evidence: VerifiedEvidence,
    result: AttestationResult,
    profile: str,
) -> bytes:
    """A digest of what makes evidence the same as the last.

    Nonce, clock and what passes in a posture do not count.
    """
    try:
        lasting = parse_posture(evidence.posture).lasting()
    except FramegateError:
        lasting = evidence.posture
    clock = evidence.clock
    parts = [
        boot_log,
        str((clock.reset_count, clock.restart_count, _entries(evidence))).encode(),
        lasting,
        profile.encode(),
        json.dumps(
            [[f.reason.value, f.expected, f.actual, f.hint] for f in result.failures]
        ).encode(),
        expected.ak.raw,
        expected.tls.raw,
    ]
    return sha256(b"".join(sha256(p) for p in parts))


def _entries(evidence: VerifiedEvidence) -> int:
    return evidence.ima_prefix.entries if evidence.ima_prefix is not None else 0


def _keep_list(tx: Transaction, device: DeviceId, evidence: VerifiedEvidence) -> None:
    start = evidence.ima_from.entries if evidence.ima_from is not None else 0
    if evidence.ima_prefix is None or (start and not evidence.ima):
        return  # no list, or nothing new in it
    clock = evidence.clock
    tx.evidence.keep_ima(
        device, clock.reset_count, clock.restart_count, start, len(evidence.ima), evidence.ima_bytes
    )


def whole_list(tx: Transaction, kept: KeptEvidence) -> bytes:
    """The IMA list of the boot that `kept` evidence is of, binary; empty where there is none.

    Raises Refused (NOT_FOUND) where it is not kept any more.
    """
    if not kept.ima_entries:
        return b""
    ima_list = tx.evidence.ima_list(
        kept.device, kept.reset_count, kept.restart_count, kept.ima_entries
    )
    return ima_list or _gone()


def stored_expectation(
    tx: Transaction,
    kept: KeptEvidence,
    grants: Grants,
) -> tuple[bytes, Expectation]:
    """(evidence, what it takes to verify it again) of kept evidence, with its boot's whole IMA
    list.

    Raises Refused (NOT_FOUND) where parts are gone.
    """
    log = tx.evidence.boot_log(kept.boot_log_sha256)
    expected = Expectation(
        transcript=kept.transcript,
        ak=parse_public(kept.ak_public),
        tls=parse_public(kept.tls_public),
        selection=PcrSelection(Alg(kept.bank), kept.pcrs),
        join=kept.join,
        stored_boot_log=log if log is not None else _gone(),
        grants=grants,
        stored_ima=whole_list(tx, kept),
    )
    return kept.raw, expected


def _gone() -> bytes:
    raise Refused.of(Reason.NOT_FOUND, "the boot log and IMA list of that boot", "no longer kept")
