"""Appraisal: verified evidence against a firmware profile, to an Attestation Result with every
reason.

Vocabulary: RFC 9334; the trustworthiness vector: AR4SI (draft-ietf-rats-ar4si), 2 affirming, 32
warning, 96 contraindicated, 0 no claim.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, final

from framegate.errors import Failure, FramegateError, Reason
from framegate.eventlog import structural_failures
from framegate.eventlog.content import (
    IMAGE_SECURITY,
    SHIM_LOCK,
    revoked_hashes,
    sbat_levels,
)
from framegate.eventlog.parse import BootLog
from framegate.eventlog.structure import variable_name, variable_record, variable_value
from framegate.evidence.boot_events import SEPARATORS, event_failures
from framegate.evidence.verify import REMEMBERED, REMEMBERED_BYTES, VerifiedEvidence, replayed_log
from framegate.ima.allowlist import Allowlist
from framegate.ima.judge import ima_failures
from framegate.ima.replay import ImaPrefix
from framegate.profile.model import FirmwareProfile
from framegate.profile.posture import parse_posture
from framegate.profile.posture_limits import posture_failures
from framegate.tpm.attest import ClockInfo
from framegate.tpm.constants import HASH_NAME, Alg

AFFIRMING: Final = 2
WARNING: Final = 32
CONTRAINDICATED: Final = 96
NO_CLAIM: Final = 0
_SECURE_BOOT: Final = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c") + "SecureBoot".encode(
    "utf-16-le"
)
_DBX: Final = IMAGE_SECURITY + "dbx".encode("utf-16-le")
_SBAT: Final = SHIM_LOCK + "SbatLevel".encode("utf-16-le")


class _Witness:
    """Held by this module alone."""


_WITNESS: Final = _Witness()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationResult:
    """The verdict on one piece of evidence; made by `appraise` only. `vector`: AR4SI claim to
    value. `failures` empty = affirming.

    `findings` are worth telling and no failures, such as a quirk that was needed. `ima_prefix` is
    where the next list may go on.
    """

    profile: str
    profile_version: str
    profile_revision: int
    evidence_digest: bytes
    vector: tuple[tuple[str, int], ...]
    failures: tuple[Failure, ...]
    findings: tuple[Failure, ...]
    ima_prefix: ImaPrefix | None
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


def appraise(
    evidence: VerifiedEvidence,
    profile: FirmwareProfile,
    previous: ClockInfo | None,
    allowlists: Mapping[bytes, Allowlist] = MappingProxyType({}),
    now_ms: int | None = None,
) -> AttestationResult:
    """Appraise `evidence` by `profile`; `previous` is the clock of the device's last accepted
    evidence. Every failure is collected.

    1. the profile asks for exactly the PCRs that were quoted, and grants the quirks that the replay
       took;
    2. log structure: separators, hashed data (`structural_failures`);
    3. every measured event lies in a quoted PCR and is a separator or claimed by a rule: by digest;
       by a text, variable, revocation list or SBAT level that its digest covers; never by its type;
    4. every required event and text is present;
    5. Secure Boot is 1, from a variable whose data hashes to its digest, and what was booted was
       checked against a key, where the profile demands it; the revocation list holds at least the
       profile's minimum, no SBAT generation is below it;
    6. resetCount never falls; within one reset restartCount and clock never fall; safe = 0 alone is
       no failure;
    7. TPM firmware is one the profile lists;
    8. posture parses and lies within the profile's limits;
    9. the IMA entries this quote covers: `ima_failures`, with every allowlist the profile names at
       hand (`allowlists`, by digest).
    """
    configuration: list[Failure] = []
    boot: list[Failure] = []
    hardware: list[Failure] = []
    if evidence.selection != profile.selection:  # 1
        configuration.append(
            Failure(
                Reason.PCR_SELECTION,
                str(profile.selection.pcrs),
                str(evidence.selection.pcrs),
                "attest again",
            )
        )
    if set(evidence.quirks) - profile.quirks:
        boot.append(
            Failure(
                Reason.QUIRK,
                f"quirks {', '.join(sorted(profile.quirks)) or 'none'}",
                ", ".join(evidence.quirks),
            )
        )
    if not set(evidence.extends) <= set(profile.extends):
        boot.append(
            Failure(
                Reason.QUIRK,
                "words that this profile lists as [[extend]]",
                "; ".join(", ".join(e.words) for e in evidence.extends),
            )
        )
    if evidence.quirks:  # the log is not quite the one that came
        events, secure = _log_failures(evidence.boot_log, evidence.selection.bank, profile)
    else:
        remember = (
            _remembered
            if len(evidence.boot_log_bytes) <= REMEMBERED_BYTES
            else _remembered.__wrapped__
        )
        events, secure = remember(evidence.boot_log_bytes, evidence.selection.bank, profile)
    boot += events
    configuration += secure
    hardware += _counters(evidence.clock, previous)  # 6
    if (
        profile.tpm_firmware is not None and evidence.firmware_version not in profile.tpm_firmware
    ):  # 7
        known = ", ".join(f"{v:016x}" for v in sorted(profile.tpm_firmware))
        hardware.append(
            Failure(
                Reason.TPM_FIRMWARE,
                known,
                f"{evidence.firmware_version:016x}",
                "update the TPM, or sign a profile that lists its firmware",
            )
        )
    configuration += _posture(evidence, profile, now_ms)  # 8
    files = _ima(evidence, profile, allowlists)  # 9
    claim = {False: AFFIRMING, True: CONTRAINDICATED}
    findings = tuple(
        Failure(Reason.QUIRK, "a log that replays as it is", q, "the profile grants this quirk")
        for q in evidence.quirks
    )
    vector = (
        ("hardware", claim[bool(hardware)]),
        ("executables", WARNING if findings and not boot else claim[bool(boot)]),
        ("configuration", claim[bool(configuration)]),
        ("instance-identity", AFFIRMING),
        ("runtime-opaque", NO_CLAIM),
        ("file-system", claim[bool(files)] if profile.ima else NO_CLAIM),
    )
    return AttestationResult(
        profile=profile.name,
        profile_version=profile.version,
        profile_revision=profile.revision,
        evidence_digest=evidence.digest,
        vector=vector,
        failures=tuple(boot + configuration + hardware + files),
        findings=findings,
        ima_prefix=evidence.ima_prefix,
        clock=evidence.clock,
        firmware_version=evidence.firmware_version,
        tls_spki=evidence.tls_spki,
        gateway_publics=evidence.gateway_publics,
        witness=_WITNESS,
    )


@lru_cache(maxsize=2 * REMEMBERED)
def _remembered(
    raw: bytes, bank: Alg, profile: FirmwareProfile
) -> tuple[tuple[Failure, ...], tuple[Failure, ...]]:
    """`_log_failures`, remembered by the log's very bytes and the very profile: pure, so that a
    changed profile is another question (N125).
    """
    return _log_failures(replayed_log(raw, bank)[0], bank, profile)


def _log_failures(
    log: BootLog, bank: Alg, profile: FirmwareProfile
) -> tuple[tuple[Failure, ...], tuple[Failure, ...]]:
    """What checks 2 to 4, and check 5, have against `log`."""
    return structural_failures(log, bank) + tuple(event_failures(log, profile)), tuple(
        secure_boot_failures(log, profile)
    )  # 2, 3, 4, 5


def secure_boot_failures(log: BootLog, profile: FirmwareProfile) -> list[Failure]:
    """Check 5 of `appraise`."""
    bank, rules = profile.selection.bank, profile.secure_boot
    column, new = log.column(bank), getattr(hashlib, HASH_NAME[bank])
    failures: list[Failure] = []
    events = [e for e in log.events if e.pcr == 7 and e.extends]
    bound = [
        (e, variable_name(e.data))
        for e in events
        if len(e.data) >= 32 and new(variable_record(e.data)).digest() == e.digests[column]
    ]
    if rules.required:
        values = [variable_value(e.data) for e, name in bound if name == _SECURE_BOOT]
        if values != [b"\x01"]:
            seen = (
                ", ".join("unreadable" if v is None else v.hex() or "empty" for v in values)
                or "no SecureBoot variable"
            )
            failures.append(
                Failure(
                    Reason.SECURE_BOOT,
                    "SecureBoot 01, once",
                    seen,
                    "enable Secure Boot in the firmware set-up",
                )
            )
        separators = {new(s).digest() for s in SEPARATORS}
        separator = next((e.number for e in events if e.digests[column] in separators), None)
        if separator is None or not any(e.number > separator and name for e, name in bound):
            failures.append(
                Failure(
                    Reason.SECURE_BOOT,
                    "an authority that checked what was booted, after PCR 7's separator",
                    "none",
                    "enabled, yet nothing was verified: look at the firmware set-up",
                )
            )
    if rules.dbx_minimum is not None:
        failures += _revocations(
            [variable_value(e.data) or b"" for e, name in bound if name == _DBX],
            rules.dbx_minimum,
        )
    if rules.sbat_minimum is not None:
        failures += _sbat(
            [variable_value(e.data) or b"" for e, name in bound if name == _SBAT],
            rules.sbat_minimum,
        )
    return failures


def _revocations(values: list[bytes], minimum: frozenset[bytes]) -> list[Failure]:
    try:
        revoked = revoked_hashes(values[0]) if len(values) == 1 else frozenset()
    except FramegateError as error:
        return list(error.failures)
    missing = minimum - revoked
    if not missing:
        return []
    seen = f"{len(missing)} missing, such as {min(missing).hex()}" if values else "no dbx measured"
    return [
        Failure(
            Reason.DBX,
            f"a dbx with the {len(minimum)} revocations of the profile",
            seen,
            "install the firmware's revocation update: fwupdmgr update",
        )
    ]


def _sbat(values: list[bytes], minimum: Mapping[str, int]) -> list[Failure]:
    try:
        generations = sbat_levels(values[0]) if len(values) == 1 else {}
    except FramegateError as error:
        return list(error.failures)
    return [
        Failure(
            Reason.SBAT,
            f"SBAT {name} of {generation} or more",
            str(generations.get(name, "none")),
            "update shim: mokutil --set-sbat-policy latest",
        )
        for name, generation in sorted(minimum.items())
        if generations.get(name, 0) < generation
    ]


def _counters(now: ClockInfo, before: ClockInfo | None) -> list[Failure]:
    if before is None or now.reset_count > before.reset_count:
        return []
    hint = "the TPM was cleared or its state rolled back: an operator must decide"
    if now.reset_count < before.reset_count:
        return [
            Failure(
                Reason.COUNTERS,
                f"resetCount {before.reset_count} or more",
                str(now.reset_count),
                hint,
            )
        ]
    if now.restart_count < before.restart_count:
        return [
            Failure(
                Reason.COUNTERS,
                f"restartCount {before.restart_count} or more",
                str(now.restart_count),
                hint,
            )
        ]
    if now.restart_count == before.restart_count and now.clock < before.clock:
        return [
            Failure(Reason.COUNTERS, f"clock {before.clock} ms or more", f"{now.clock} ms", hint)
        ]
    return []


def _posture(
    evidence: VerifiedEvidence, profile: FirmwareProfile, now_ms: int | None
) -> list[Failure]:
    try:
        posture = parse_posture(evidence.posture)
    except FramegateError as error:
        return list(error.failures)
    return posture_failures(posture, profile.posture, now_ms)


def _ima(
    evidence: VerifiedEvidence, profile: FirmwareProfile, allowlists: Mapping[bytes, Allowlist]
) -> list[Failure]:
    rules = profile.ima
    if rules is None:
        return []
    missing = [d for d in rules.allowlists if d not in allowlists]
    if missing or evidence.ima_prefix is None:
        seen = f"{missing[0].hex()} is not in the store" if missing else "no list quoted"
        return [
            Failure(
                Reason.ALLOWLIST,
                "every allowlist that the profile names",
                seen,
                "framegate profile import FILE --allowlist FILE",
            )
        ]
    known = evidence.ima_from
    chosen = [allowlists[d] for d in rules.allowlists]
    return ima_failures(
        evidence.ima,
        rules,
        chosen,
        evidence.selection.bank,
        evidence.kernel_pcrs,
        first=known is None,
        violations=known.violations if known else 0,
    )
