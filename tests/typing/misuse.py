"""Calls that must not type-check. mypy reports an unused ignore the day one of them does."""

from datetime import UTC, datetime, timedelta

from framegate.evidence.appraise import AttestationResult, appraise
from framegate.evidence.verify import VerifiedEvidence
from framegate.identity.names import DeviceId, device_id
from framegate.profile.model import FirmwareProfile
from framegate.wire import Evidence
from framegate_controller.ca.issue import issue_device
from framegate_controller.ca.keys import FleetKeys


def unverified_evidence_cannot_be_appraised(
    evidence: Evidence, raw: bytes, profile: FirmwareProfile
) -> None:
    """Only verify_evidence() makes what appraise() takes."""
    appraise(evidence, profile, None)  # type: ignore[arg-type]
    appraise(raw, profile, None)  # type: ignore[arg-type]


def evidence_cannot_earn_a_certificate(
    keys: FleetKeys, evidence: VerifiedEvidence, device: DeviceId
) -> None:
    """Only appraise() makes what issue_device() takes."""
    life, now = timedelta(minutes=1), datetime.now(UTC)
    issue_device(keys, device, evidence, life, now)  # type: ignore[arg-type]


def verified_types_cannot_be_made_by_hand(evidence: VerifiedEvidence) -> None:
    """The witness is not to be had."""
    VerifiedEvidence(  # type: ignore[call-arg]
        selection=evidence.selection,
        pcrs={},
        boot_log=evidence.boot_log,
        boot_log_bytes=b"",
        clock=evidence.clock,
        firmware_version=0,
        posture=b"",
        gateway_publics=(),
        tls_spki=b"",
        digest=b"",
    )


def results_are_not_booleans(result: AttestationResult) -> None:
    """A verdict carries its reasons and cannot be edited."""
    result.failures = ()  # type: ignore[misc]
    result.verified  # type: ignore[attr-defined]  # noqa: B018


def names_are_checked_before_they_are_ids(raw: str) -> DeviceId:
    """A str is no DeviceId."""
    device_id(raw, "zone", "name")  # type: ignore[arg-type]
    return raw  # type: ignore[return-value]
