"""Kept evidence under another profile: what it would come to.

A new revision that affirms what made machines suspect lets them prove themselves again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from framegate.errors import Failure, FramegateError, Reason
from framegate.evidence.appraise import appraise
from framegate.evidence.verify import verify_evidence
from framegate.identity.names import DeviceId
from framegate.ima.allowlist import Allowlist
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.profile.model import FirmwareProfile
from framegate.registry.device import Device
from framegate.registry.evidence import KeptEvidence
from framegate_controller.fleet.devices import change_state
from framegate_controller.fleet.evidence import stored_expectation
from framegate_controller.fleet.firmware import read_allowlists
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.firmware import InMemoryAllowlists, ParsedAllowlists


@dataclass(frozen=True, slots=True)
class Replayed:
    """What kept evidence comes to.

    `problem` says why nothing can be said; then the rest means nothing.
    """

    kept: KeptEvidence
    affirming: bool = False
    failures: tuple[Failure, ...] = ()
    problem: str = ""


def replay(
    tx: Transaction,
    kept: KeptEvidence,
    profile: FirmwareProfile,
    parsed: ParsedAllowlists,
    given: Mapping[bytes, Allowlist],
) -> Replayed:
    """Verify kept evidence again and appraise it by `profile`.

    `given` allowlists go before those in the store.
    """
    try:
        evidence, expected = stored_expectation(tx, kept, profile.grants)
        verified = verify_evidence(evidence, expected)
        result = appraise(
            verified, profile, None, {**read_allowlists(tx, [profile], parsed), **given}
        )
    except FramegateError as error:
        return Replayed(kept, problem=str(error.failures[0]))
    return Replayed(kept, result.affirming, result.failures)


def reconsider(tx: Transaction, profile: FirmwareProfile) -> list[DeviceId]:
    """Let suspects of `profile` whose kept evidence it affirms prove themselves again.

    A fresh quote must pass too. Returns whose state moved.
    """
    parsed = InMemoryAllowlists()
    freed = []
    for device in tx.devices.all(profile=profile.name, states=[State.SUSPECT]):
        kept = tx.evidence.last(device.id)
        if kept is None or not _a_question_of_profiles(kept, device):
            continue
        if replay(tx, kept, profile, parsed, {}).affirming:
            change_state(
                tx,
                device,
                Edge.RECONSIDERED,
                why=f"stored evidence passes revision {profile.revision}",
            )
            freed.append(device.id)
    return freed


def _a_question_of_profiles(kept: KeptEvidence, device: Device) -> bool:
    if kept.affirming or kept.last_ms < device.shown.failures_ms:
        return False  # what made it suspect was no evidence that verified
    return all(
        f.reason != Reason.COUNTERS for f in kept.failures
    )  # of a cleared or rolled back TPM an operator decides
