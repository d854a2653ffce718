"""Judge a proof: verify it, and appraise it by the profile in force and, while a rollout runs, by the one that is coming."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from framegate.errors import Failure
from framegate.evidence.appraise import AttestationResult, appraise
from framegate.evidence.verify import Expectation, VerifiedEvidence, verify_evidence
from framegate.ima.replay import ImaPrefix
from framegate.tpm.attest import ClockInfo
from framegate.wire import Proof
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.fleet.profiles import LoadedProfile, load_profile
from framegate_controller.fleet.rollouts import ActiveRollout, active_rollout
from framegate_controller.store.evidence import ima_list, load_allowlists
from framegate_controller.store.registry import load_clock
from framegate_controller.store.tables import Device


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a proof came to: the result under `loaded`, what it means to a rollout, and findings that are no failures."""

    evidence: VerifiedEvidence
    result: AttestationResult
    loaded: LoadedProfile
    findings: tuple[Failure, ...]


def accepted_profiles(session: Session, keys: FleetKeys, device: Device) -> tuple[list[LoadedProfile], ActiveRollout | None]:
    """The profile in force, then the other one of a rollout under way; and that rollout."""
    current = load_profile(session, keys, device.profile)
    rollout = active_rollout(session, keys, device)
    return [current, *([rollout.other] if rollout and rollout.other else [])], rollout


def known_prefix(device: Device, profiles: Sequence[LoadedProfile]) -> ImaPrefix | None:
    """Where the device's IMA list may go on: what was judged by a profile that still counts, allowlists and all (N125)."""
    if not device.ima_prefix or device.ima_profile_sha256 not in {p.sha256 for p in profiles}:
        return None
    body = json.loads(device.ima_prefix)
    return ImaPrefix(body[0], body[1], bytes.fromhex(body[2]), body[3], body[4])


def prefix_text(prefix: ImaPrefix | None) -> str:
    """What `known_prefix` reads."""
    return json.dumps([prefix.entries, prefix.violations, prefix.value.hex(), prefix.reset_count, prefix.restart_count]) if prefix else ""


def judge(session: Session, keys: FleetKeys, device: Device, proof: bytes, expected: Expectation, now_ms: int) -> Judgement:
    """Verify `proof` and appraise it; the first profile it affirms counts, the one its IMA prefix was judged by being asked first.

    Raises Malformed, EvidenceRejected, Refused as `verify_evidence` and the loading of profiles do.
    """
    profiles, rollout = accepted_profiles(session, keys, device)
    quirks, pinned = frozenset[str](), dict[int, frozenset[bytes]]()
    for each in profiles:
        quirks |= each.profile.quirks
        for pcr, values in each.profile.pinned.items():
            pinned[pcr] = pinned.get(pcr, frozenset()) | values
    expected = replace(expected, quirks=quirks, pinned=pinned)
    evidence = verify_evidence(proof, expected)
    base = device.ima_profile_sha256 if evidence.ima_from is not None else b""
    whole: VerifiedEvidence | None = None
    clock = load_clock(device)
    results: list[tuple[LoadedProfile, VerifiedEvidence, AttestationResult]] = []
    for loaded in profiles:
        chosen = evidence
        if base and loaded.sha256 != base and loaded.profile.ima is not None:  # its allowlists have not judged the earlier entries
            whole = whole or _whole(session, device, proof, expected, evidence)
            chosen = whole
        results.append((loaded, chosen, _appraised(session, chosen, loaded, clock, now_ms)))
    affirmed = [r for r in results if r[2].affirming]
    loaded, chosen, result = (affirmed or results)[0]
    findings = list(result.findings)
    if rollout is not None:
        findings += rollout.noticed(session, {r[0].sha256: r[2].affirming for r in results}, now_ms)
    return Judgement(chosen, result, loaded, tuple(findings))


def _whole(session: Session, device: Device, proof: bytes, expected: Expectation, evidence: VerifiedEvidence) -> VerifiedEvidence:
    """The same proof with the list from its first entry: what the store holds of this boot, and what came now."""
    known = evidence.ima_from
    earlier = ima_list(session, device.id, known.reset_count, known.restart_count, known.entries) if known else b""
    if not earlier:
        return evidence
    return verify_evidence(proof, replace(expected, stored_ima=earlier + Proof.parse(proof).ima_log))


def _appraised(session: Session, evidence: VerifiedEvidence, loaded: LoadedProfile, clock: ClockInfo | None, now_ms: int) -> AttestationResult:
    rules = loaded.profile.ima
    return appraise(evidence, loaded.profile, clock, load_allowlists(session, rules.allowlists) if rules else {}, now_ms)
