"""Appraisal: verified evidence against a firmware profile, to an Attestation Result with every reason.

Vocabulary: RFC 9334; trustworthiness values: AR4SI (draft-ietf-rats-ar4si), 2 affirming, 32 warning, 96 contraindicated, 0 no claim.
"""

from __future__ import annotations

import hashlib
from dataclasses import InitVar, dataclass
from typing import Final, final

from framegate.errors import Failure, FramegateError, Reason
from framegate.eventlog import EventType, structural_failures
from framegate.eventlog.parse import NEVER_EXTENDED
from framegate.eventlog.structure import variable_name, variable_value
from framegate.evidence import VerifiedEvidence
from framegate.posture import parse_posture
from framegate.profile import FirmwareProfile
from framegate.tpm.attest import ClockInfo
from framegate.tpm.constants import HASH_NAME

AFFIRMING: Final = 2
CONTRAINDICATED: Final = 96
NO_CLAIM: Final = 0
_SECURE_BOOT: Final = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c") + "SecureBoot".encode("utf-16-le")
_SEPARATORS: Final = (b"\0\0\0\0", b"\xff\xff\xff\xff")


class _Witness:
    """Held by this module alone."""


_WITNESS: Final = _Witness()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationResult:
    """The verdict on one piece of evidence; made by `appraise` only. `vector`: AR4SI claim to value. `failures` empty = affirming."""

    profile: str
    profile_version: str
    profile_revision: int
    evidence_digest: bytes
    vector: tuple[tuple[str, int], ...]
    failures: tuple[Failure, ...]
    clock: ClockInfo
    firmware_version: int
    tls_spki: bytes
    gateway_publics: tuple[bytes, ...]
    witness: InitVar[_Witness]

    def __post_init__(self, witness: _Witness) -> None:
        if witness is not _WITNESS:
            raise TypeError("an AttestationResult is made by appraise() alone")

    @property
    def affirming(self) -> bool:
        """Whether nothing contradicts the profile."""
        return not self.failures


def appraise(evidence: VerifiedEvidence, profile: FirmwareProfile, previous: ClockInfo | None) -> AttestationResult:
    """Appraise `evidence` by `profile`; `previous` is the clock of the device's last accepted evidence. Every failure is collected.

    1. the profile asks for exactly the PCRs that were quoted (an old session under a new profile fails);
    2. log structure: separators, hashed data (`structural_failures`);
    3. every measured event lies in a quoted PCR and is a separator or claimed by a rule, by digest;
    4. every required event is present;
    5. Secure Boot is 1, from a variable whose data hashes to its digest, where the profile demands it;
    6. resetCount never falls; within one reset restartCount and clock never fall; safe = 0 alone is no failure;
    7. TPM firmware is one the profile lists;
    8. posture parses and lies within the profile's limits.
    """
    configuration: list[Failure] = []
    boot: list[Failure] = []
    hardware: list[Failure] = []
    if evidence.selection != profile.selection:  # 1
        configuration.append(Failure(Reason.PCR_SELECTION, str(profile.selection.pcrs), str(evidence.selection.pcrs), "attest again"))
    boot += structural_failures(evidence.boot_log, evidence.selection.bank)  # 2
    boot += _events(evidence, profile)  # 3, 4
    if profile.secure_boot:
        configuration += _secure_boot(evidence)  # 5
    hardware += _counters(evidence.clock, previous)  # 6
    if profile.tpm_firmware is not None and evidence.firmware_version not in profile.tpm_firmware:  # 7
        known = ", ".join(f"{v:016x}" for v in sorted(profile.tpm_firmware))
        hardware.append(Failure(Reason.TPM_FIRMWARE, known, f"{evidence.firmware_version:016x}", "update the TPM, or sign a profile that lists its firmware"))
    configuration += _posture(evidence, profile)  # 8
    claim = {False: AFFIRMING, True: CONTRAINDICATED}
    vector = (
        ("hardware", claim[bool(hardware)]), ("executables", claim[bool(boot)]), ("configuration", claim[bool(configuration)]),
        ("instance-identity", AFFIRMING), ("runtime-opaque", NO_CLAIM), ("file-system", NO_CLAIM),
    )  # fmt: skip
    return AttestationResult(
        profile=profile.name, profile_version=profile.version, profile_revision=profile.revision, evidence_digest=evidence.digest,
        vector=vector, failures=tuple(boot + configuration + hardware), clock=evidence.clock, firmware_version=evidence.firmware_version,
        tls_spki=evidence.tls_spki, gateway_publics=evidence.gateway_publics, witness=_WITNESS,
    )  # fmt: skip


def _events(evidence: VerifiedEvidence, profile: FirmwareProfile) -> list[Failure]:
    bank = evidence.selection.bank
    new = getattr(hashlib, HASH_NAME[bank])
    separators = {new(s).digest() for s in _SEPARATORS}
    failures: list[Failure] = []
    met: set[str] = set()
    column, quoted = evidence.boot_log.column(bank), frozenset(profile.selection.pcrs)
    for event in evidence.boot_log.events:
        if event.type == EventType.NO_ACTION or event.pcr == NEVER_EXTENDED:
            continue
        digest = event.digests[column]
        if event.pcr not in quoted:
            failures.append(Failure(Reason.EVENT_UNCLAIMED, "measurements in quoted PCRs only", f"event {event.number} in PCR {event.pcr}", "quote that PCR in the profile"))
            continue
        rule = profile.claim(event.pcr, digest)
        if rule is not None:
            met.add(rule.name)
        elif not (digest in separators and event.pcr < 8):
            failures.append(_unclaimed(event.number, event.pcr, event.type_name, digest, profile))
    for rule in profile.rules:
        if rule.required and rule.name not in met:
            wanted = " or ".join(d.hex() for d in sorted(rule.digests))
            failures.append(
                Failure(Reason.EVENT_ABSENT, f"{rule.name} in PCR {rule.pcr}: {wanted}", "absent", "the machine did not start this, or started something else in its place")
            )
    return failures


def _unclaimed(index: int, pcr: int, kind: str, digest: bytes, profile: FirmwareProfile) -> Failure:
    names = ", ".join(r.name for r in profile.rules if r.pcr == pcr) or "no event"
    return Failure(
        Reason.EVENT_UNCLAIMED, f"in PCR {pcr}: {names}", f"event {index} ({kind}) {digest.hex()}",
        "if this firmware is meant to run, sign a profile that lists it; if not, restore the machine and attest again",
    )  # fmt: skip


def _secure_boot(evidence: VerifiedEvidence) -> list[Failure]:
    bank, column = evidence.selection.bank, evidence.boot_log.column(evidence.selection.bank)
    values = [
        variable_value(e.data) for e in evidence.boot_log.events
        if e.pcr == 7 and e.extends and variable_name(e.data) == _SECURE_BOOT
        and hashlib.new(HASH_NAME[bank], e.data).digest() == e.digests[column]
    ]  # fmt: skip
    if values == [b"\x01"]:
        return []
    seen = ", ".join("unreadable" if v is None else v.hex() or "empty" for v in values) or "no SecureBoot variable"
    return [Failure(Reason.SECURE_BOOT, "SecureBoot 01, once", seen, "enable Secure Boot in the firmware set-up")]


def _counters(now: ClockInfo, before: ClockInfo | None) -> list[Failure]:
    if before is None or now.reset_count > before.reset_count:
        return []
    hint = "the TPM was cleared or its state rolled back: an operator must decide"
    if now.reset_count < before.reset_count:
        return [Failure(Reason.COUNTERS, f"resetCount {before.reset_count} or more", str(now.reset_count), hint)]
    if now.restart_count < before.restart_count:
        return [Failure(Reason.COUNTERS, f"restartCount {before.restart_count} or more", str(now.restart_count), hint)]
    if now.restart_count == before.restart_count and now.clock < before.clock:
        return [Failure(Reason.COUNTERS, f"clock {before.clock} ms or more", f"{now.clock} ms", hint)]
    return []


def _posture(evidence: VerifiedEvidence, profile: FirmwareProfile) -> list[Failure]:
    try:
        posture = parse_posture(evidence.posture)
    except FramegateError as error:
        return list(error.failures)
    if posture.os_id not in profile.os_ids:
        return [Failure(Reason.POSTURE, f"operating system {' or '.join(sorted(profile.os_ids))}", posture.os_id, "self-reported by the agent")]
    return []
