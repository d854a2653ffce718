"""Judge evidence: verify it, and appraise it by the profile in force and, while a rollout runs, by
the one that is coming. Reads; changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from framegate.errors import Failure
from framegate.eventlog.quirks import Grants
from framegate.evidence.appraise import AttestationResult, appraise
from framegate.evidence.verify import Expectation, VerifiedEvidence, verify_evidence
from framegate.ima.allowlist import Allowlist
from framegate.ima.replay import ImaPrefix
from framegate.profile.signed import LoadedProfile
from framegate.registry.device import Baseline
from framegate.wire import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What evidence is judged by: the device's baseline, the profiles that count for it, their
    allowlists, and how to read earlier IMA entries.
    """

    baseline: Baseline
    profiles: tuple[LoadedProfile, ...]
    allowlists: Mapping[bytes, Allowlist]
    earlier: Callable[[ImaPrefix], bytes]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What evidence came to: the result under `loaded`, and the profiles (by digest) that affirm
    it.
    """

    evidence: VerifiedEvidence
    result: AttestationResult
    loaded: LoadedProfile
    affirmed: Mapping[bytes, bool]


def known_prefix(baseline: Baseline, profiles: tuple[LoadedProfile, ...]) -> ImaPrefix | None:
    """Where the device's IMA list may go on: what was judged by a profile that still counts,
    allowlists and all (N125).
    """
    return baseline.ima if baseline.ima_profile_sha256 in {p.sha256 for p in profiles} else None


def judge(grounds: Grounds, evidence: bytes, expected: Expectation, now_ms: int) -> Judgement:
    """Verify `evidence` and appraise it; the first profile it affirms counts, the one its IMA
    prefix was judged by being asked first.

    Raises Malformed, EvidenceRejected, Refused as `verify_evidence` does.
    """
    expected = replace(expected, grants=_grants(grounds.profiles))
    verified = verify_evidence(evidence, expected)
    base = grounds.baseline.ima_profile_sha256 if verified.ima_from is not None else b""
    whole: VerifiedEvidence | None = None
    judged: list[tuple[LoadedProfile, VerifiedEvidence, AttestationResult]] = []
    for loaded in grounds.profiles:
        chosen = verified
        if (
            base and loaded.sha256 != base and loaded.profile.ima is not None
        ):  # its allowlists have not judged the earlier entries
            whole = whole or _whole(grounds, evidence, expected, verified)
            chosen = whole
        allowlists = grounds.allowlists if loaded.profile.ima else {}
        judged.append(
            (
                loaded,
                chosen,
                appraise(chosen, loaded.profile, grounds.baseline.clock, allowlists, now_ms),
            )
        )
    loaded, chosen, result = next((j for j in judged if j[2].affirming), judged[0])
    return Judgement(chosen, result, loaded, {j[0].sha256: j[2].affirming for j in judged})


def _grants(profiles: tuple[LoadedProfile, ...]) -> Grants:
    """What any of the profiles grants; whether its own does, appraisal says."""
    return Grants(
        frozenset[str]().union(*(p.profile.quirks for p in profiles)),
        _pinned(profiles),
        tuple(dict.fromkeys(e for p in profiles for e in p.profile.extends)),
    )


def _pinned(profiles: tuple[LoadedProfile, ...]) -> dict[int, frozenset[bytes]]:
    pinned: dict[int, frozenset[bytes]] = {}
    for each in profiles:
        for pcr, values in each.profile.pinned.items():
            pinned[pcr] = pinned.get(pcr, frozenset()) | values
    return pinned


def _whole(
    grounds: Grounds, evidence: bytes, expected: Expectation, verified: VerifiedEvidence
) -> VerifiedEvidence:
    """The same evidence with the list from its first entry: what the store holds of this boot, and
    what came now.
    """
    earlier = grounds.earlier(verified.ima_from) if verified.ima_from else b""
    if not earlier:
        return verified
    return verify_evidence(
        evidence, replace(expected, stored_ima=earlier + Evidence.parse(evidence).ima_log)
    )


def failures_text(failures: tuple[Failure, ...]) -> str:
    """Reasons in one line, as events tell them."""
    return "; ".join(f.reason for f in failures)
