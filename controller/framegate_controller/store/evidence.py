"""Evidence in the store: what came, once for each content, so that any decision can be replayed, and nothing that is not needed for it."""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from framegate.errors import FramegateError, Reason, Refused
from framegate.evidence.appraise import AttestationResult
from framegate.evidence.verify import Expectation, VerifiedEvidence
from framegate.ima.allowlist import Allowlist, parse_allowlist
from framegate.profile.posture import parse_posture
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate.tpm.public import parse_public
from framegate.wire import sha256
from framegate_controller.store.tables import AllowlistRow, BootLogRow, Device, EvidenceRow, ImaSegment

KEEP_MS: Final = 30 * 86_400_000
"""Evidence is kept for 30 days after it was last seen: long enough to try a new profile on a month of the fleet's life."""


def store_evidence(session: Session, device: Device, expected: Expectation, evidence: VerifiedEvidence, result: AttestationResult, proof: bytes, profile: str, now_ms: int) -> str:
    """Keep what `evidence` came from; returns its id. The same content, result and profile as the device's last only count as seen again."""
    boot_log = sha256(evidence.boot_log_bytes)
    if session.get(BootLogRow, boot_log) is None:
        session.add(BootLogRow(sha256=boot_log, content=zlib.compress(evidence.boot_log_bytes)))
    clock, entries = evidence.clock, 0
    if evidence.ima_prefix is not None:
        entries = evidence.ima_prefix.entries
        _store_segment(session, device.id, evidence)
    failures = json.dumps([[f.reason.value, f.expected, f.actual, f.hint] for f in result.failures])
    try:
        lasting = parse_posture(evidence.posture).lasting()
    except FramegateError:
        lasting = evidence.posture
    parts = [boot_log, str((clock.reset_count, clock.restart_count, entries)).encode(), lasting, profile.encode(), failures.encode(), expected.ak.raw, expected.tls.raw]
    content = sha256(b"".join(sha256(p) for p in parts))
    last = session.scalars(select(EvidenceRow).where(EvidenceRow.device == device.id).order_by(EvidenceRow.last_ms.desc()).limit(1)).one_or_none()
    if last is not None and last.content_sha256 == content:
        session.execute(update(EvidenceRow).where(EvidenceRow.id == last.id).values(last_ms=now_ms, count=EvidenceRow.count + 1))
        return last.id
    row = EvidenceRow(
        id=secrets.token_hex(16), device=device.id, content_sha256=content, first_ms=now_ms, last_ms=now_ms, count=1, join=expected.join, transcript=expected.transcript,
        ak_public=expected.ak.raw, tls_public=expected.tls.raw, bank=expected.selection.bank, pcrs=json.dumps(expected.selection.pcrs), boot_log_sha256=boot_log,
        ima_entries=entries, reset_count=clock.reset_count, restart_count=clock.restart_count, proof=zlib.compress(proof), profile=profile, affirming=result.affirming,
        failures=failures, vector=json.dumps(dict(result.vector)),
    )  # fmt: skip
    session.add(row)
    session.execute(delete(EvidenceRow).where(EvidenceRow.device == device.id, EvidenceRow.last_ms < now_ms - KEEP_MS))
    return row.id


def _store_segment(session: Session, device: str, evidence: VerifiedEvidence) -> None:
    clock, known = evidence.clock, evidence.ima_from
    start = known.entries if known else 0
    same = (ImaSegment.device == device, ImaSegment.reset_count == clock.reset_count, ImaSegment.restart_count == clock.restart_count)
    if start == 0:  # the whole list came: it replaces what was kept of this boot
        session.execute(delete(ImaSegment).where(*same))
        kept = select(EvidenceRow.reset_count).where(EvidenceRow.device == device)
        session.execute(delete(ImaSegment).where(ImaSegment.device == device, ImaSegment.reset_count != clock.reset_count, ImaSegment.reset_count.not_in(kept)))
    else:
        session.execute(delete(ImaSegment).where(*same, ImaSegment.start >= start))
    if evidence.ima:
        session.add(ImaSegment(
            device=device, reset_count=clock.reset_count, restart_count=clock.restart_count, start=start, entries=len(evidence.ima), content=zlib.compress(evidence.ima_bytes),
        ))  # fmt: skip


def ima_list(session: Session, device: str, reset_count: int, restart_count: int, entries: int) -> bytes:
    """The first `entries` entries of a boot's verified list, in its binary form; empty where they are not kept any more."""
    query = select(ImaSegment).where(ImaSegment.device == device, ImaSegment.reset_count == reset_count, ImaSegment.restart_count == restart_count)
    out, have = [], 0
    for segment in session.scalars(query.order_by(ImaSegment.start)).all():
        if segment.start != have or have >= entries:
            break
        out.append(zlib.decompress(segment.content))
        have += segment.entries
    return b"".join(out) if have >= entries else b""


def stored_expectation(session: Session, row: EvidenceRow, quirks: frozenset[str], pinned: dict[int, frozenset[bytes]]) -> tuple[bytes, Expectation]:
    """(proof, what it takes to verify it again) of stored evidence, with the whole IMA list of its boot. Raises Refused (NOT_FOUND) where parts are gone."""
    log = session.get(BootLogRow, row.boot_log_sha256)
    ima = ima_list(session, row.device, row.reset_count, row.restart_count, row.ima_entries) if row.ima_entries else b""
    if log is None or (row.ima_entries and not ima):
        raise Refused.of(Reason.NOT_FOUND, "the boot log and IMA list of that boot", "no longer kept")
    expected = Expectation(
        transcript=row.transcript, ak=parse_public(row.ak_public), tls=parse_public(row.tls_public), selection=PcrSelection(Alg(row.bank), tuple(json.loads(row.pcrs))),
        join=row.join, stored_boot_log=zlib.decompress(log.content), quirks=quirks, pinned=pinned, stored_ima=ima,
    )  # fmt: skip
    return zlib.decompress(row.proof), expected


def add_allowlist(session: Session, content: bytes, now_ms: int) -> Allowlist:
    """Keep an allowlist by its digest; the same bytes again change nothing. Raises Malformed."""
    parsed = parse_allowlist(content)
    if session.get(AllowlistRow, parsed.digest) is None:
        session.add(AllowlistRow(sha256=parsed.digest, content=zlib.compress(content), files=parsed.size, added_ms=now_ms))
    return parsed


def load_allowlists(session: Session, digests: Sequence[bytes]) -> dict[bytes, Allowlist]:
    """Those of `digests` that are kept, parsed once for the whole process."""
    found = {}
    for digest in digests:
        held = _HELD.get(digest)
        if held is None:
            row = session.get(AllowlistRow, digest)
            if row is None:
                continue
            held = parse_allowlist(zlib.decompress(row.content))
            if held.digest != digest:  # a row that somebody edited
                raise Refused.of(Reason.ALLOWLIST, f"the allowlist {digest.hex()}", held.digest.hex(), "the store was changed: restore it, or add the file again")
            _HELD[digest] = held
        found[digest] = held
    return found


_HELD: dict[bytes, Allowlist] = {}
"""Content-addressed, so never stale: the digest is the name."""
