"""Verify evidence that lies in files, without a controller: for auditors, and for whoever wants to
know what a quote is worth.

Nothing passes because it was not looked at: what could not be checked is said, and a profile
demands every log it has rules for.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from framegate.errors import EvidenceRejected, Failure, FramegateError, Reason
from framegate.eventlog import structural_failures
from framegate.evidence.appraise import secure_boot_failures
from framegate.evidence.boot_events import event_failures
from framegate.evidence.offline_logs import BootReplay, Quote, check_boot_log, check_ima
from framegate.evidence.offline_result import OfflineResult
from framegate.evidence.quote_files import (
    check_ak,
    load_ak,
    load_attest,
    verify_quote_signature,
)
from framegate.ima.allowlist import Allowlist
from framegate.profile.model import FirmwareProfile
from framegate.tpm.attest import Attest
from framegate.tpm.constants import (
    BANK_BY_NAME,
    HASH_NAME,
    TPM_GENERATED,
    TPM_RH_OWNER,
    Alg,
    St,
)
from framegate.tpm.public import Public

PcrValues = Mapping[str, Mapping[int, bytes]]
"""Bank name to PCR index to value."""


def verify_files(  # noqa: PLR0913 - members of a record
    *,
    ak: bytes,
    attest: bytes,
    signature: bytes,
    nonce: bytes,
    pcrs: PcrValues | None = None,
    boot_log: bytes | None = None,
    ima: bytes | None = None,
    profile: FirmwareProfile | None = None,
    allowlists: Sequence[Allowlist] = (),
) -> OfflineResult:
    """Every check that the given files allow; all failures are collected, but what does not verify
    is not read any further.

    1. AK: parses; where its attributes are known, it is a restricted signing key fixed to its TPM;
    2. signature over the attestation's raw bytes, by the scheme the key pins, never SHA-1;
    3. magic, type quote, extraData equal to `nonce` (constant time, its full length);
    4. `pcrs`: every signed PCR has a value and pcrDigest is their hash; values outside the signed
       selection are not used (N04);
    5. boot log: parses, replays to the certified values, or as a whole to pcrDigest; a log edited
       after it was measured is refused;
    6. IMA list: a prefix of it, found within a bound, replays to the quoted PCR 10; boot_aggregate
       fits;
    7. profile: the signed selection is the profile's; every event and file has its rule; a log it
       has rules for may not be missing (N49).
    """
    result = OfflineResult()
    try:
        key, statement = load_ak(ak), load_attest(attest)
        result.key = key
        result.failures += check_ak(key)  # 1
        raw = attest[2:] if len(statement.raw) == len(attest) - 2 else attest
        hash_alg = verify_quote_signature(key, raw, signature)  # 2
        _header(statement, nonce)  # 3
    except FramegateError as error:
        result.failures += error.failures
        return result
    result.statement = statement
    if key.public is not None:
        result.checked.append("AK attributes")
        _parent(result, key.public, statement.qualified_signer)
    else:
        result.unchecked.append("AK attributes: only the bare key was given")
    result.checked += ["signature", "magic", "type", "nonce"]
    wanted = [(s, HASH_NAME.get(s.bank)) for s in statement.selections if s.pcrs]
    if not wanted:
        result.failures.append(
            Failure(Reason.PCR_SELECTION, "a quote over at least one PCR", "an empty selection")
        )
        return result
    if len(wanted) > 1:
        result.findings.append(
            Failure(
                Reason.PCR_SELECTION,
                "one bank",
                " + ".join(n or "?" for _, n in wanted),
                "a controller of Framegate asks for one bank and refuses several",
            )
        )
    certified = _certified(result, statement, pcrs, hash_alg) if pcrs is not None else {}
    bank = profile.selection.bank if profile else Alg.SHA256
    selection = next((s for s, _ in wanted if s.bank == bank), wanted[0][0])
    quote = Quote(statement, selection, certified, hash_alg)
    boot = BootReplay(None, {}, {})
    try:
        boot = check_boot_log(result, quote, boot_log, profile, with_ima=ima is not None)
        check_ima(result, quote, boot, ima, profile, allowlists)
    except FramegateError as error:
        result.failures += error.failures
    if profile is not None:
        _profile(result, quote, boot, ima, profile)
    return result


def _header(statement: Attest, nonce: bytes) -> None:
    if statement.magic != TPM_GENERATED:
        raise EvidenceRejected(
            [
                Failure(
                    Reason.MAGIC,
                    f"0x{TPM_GENERATED:08x}",
                    f"0x{statement.magic:08x}",
                    "this was not made by a TPM",
                )
            ]
        )
    if statement.type != St.ATTEST_QUOTE:
        raise EvidenceRejected(
            [Failure(Reason.ATTEST_TYPE, St.ATTEST_QUOTE.name, f"0x{statement.type:04x}")]
        )
    if not hmac.compare_digest(statement.extra_data, nonce):
        raise EvidenceRejected(
            [
                Failure(
                    Reason.EXTRA_DATA,
                    nonce.hex() or "no nonce",
                    statement.extra_data.hex() or "none",
                    "evidence of another session, or the nonce in another encoding",
                )
            ]
        )


def _parent(result: OfflineResult, public: Public, signer: bytes) -> None:
    """A finding where the AK is no primary of a hierarchy that a name shows."""
    if signer == public.qualified_name() or signer == public.qualified_name(TPM_RH_OWNER):
        return
    result.findings.append(
        Failure(
            Reason.QUALIFIED_SIGNER,
            public.qualified_name().hex(),
            signer.hex(),
            "the AK has a parent: that this public area is the one that signed rests on the"
            " key alone",
        )
    )


def _certified(
    result: OfflineResult, statement: Attest, pcrs: PcrValues, hash_alg: Alg
) -> dict[Alg, dict[int, bytes]]:
    certified: dict[Alg, dict[int, bytes]] = {}
    missing = []
    for selection in statement.selections:
        given = pcrs.get(HASH_NAME.get(selection.bank, ""), {})
        certified[selection.bank] = found = {p: given[p] for p in selection.pcrs if p in given}
        if len(found) < len(selection.pcrs):
            name = selection.bank.name.lower()
            missing += [f"{name}:{p}" for p in selection.pcrs if p not in given]
    outside = [
        f"{n}:{p}"
        for n, values in pcrs.items()
        for p in values.keys() - certified.get(BANK_BY_NAME.get(n, Alg.NULL), {}).keys()
    ]
    if outside:
        result.findings.append(
            Failure(
                Reason.PCR_SELECTION,
                "values of quoted PCRs only",
                f"{len(outside)} others, not used",
                "nothing vouches for them",
            )
        )
    if missing:
        result.failures.append(
            Failure(
                Reason.PCR_SELECTION,
                "a value of every quoted PCR",
                f"none of {', '.join(missing[:12])}",
            )
        )
        return {}
    values = [certified[s.bank][p] for s in statement.selections for p in s.pcrs]
    digest = getattr(hashlib, HASH_NAME[hash_alg])(b"".join(values)).digest()
    if not hmac.compare_digest(digest, statement.pcr_digest):
        result.failures.append(
            Failure(
                Reason.PCR_DIGEST,
                f"pcrDigest {statement.pcr_digest.hex()}",
                f"{digest.hex()} of the given values",
                "the values are not those that were quoted",
            )
        )
        return {}
    result.checked.append("PCR values")
    return certified


def _profile(
    result: OfflineResult,
    quote: Quote,
    boot: BootReplay,
    ima: bytes | None,
    profile: FirmwareProfile,
) -> None:
    statement, selection, log = quote.statement, quote.selection, boot.log
    if statement.selections != (profile.selection,):
        result.failures.append(
            Failure(
                Reason.PCR_SELECTION,
                str(profile.selection.pcrs),
                str(selection.pcrs),
                "the quote was asked for other PCRs than the profile's",
            )
        )
    if log is None:
        if not any(f.reason.value.startswith(("boot-log", "too-large")) for f in result.failures):
            result.failures.append(
                Failure(
                    Reason.BOOT_LOG_MISSING,
                    "the boot log, which the profile has rules for",
                    "none",
                    "--boot-log FILE",
                )
            )
    elif profile.selection.bank in log.banks:
        same = selection.bank == profile.selection.bank
        result.failures += (
            boot.structural if same else structural_failures(log, profile.selection.bank)
        )
        result.findings = [
            f for f in result.findings if f.reason not in {Reason.SEPARATOR, Reason.EVENT_DATA}
        ]
        result.failures += event_failures(log, profile)
        result.failures += secure_boot_failures(log, profile)
    if profile.ima is not None and ima is None:
        result.failures.append(
            Failure(
                Reason.IMA_MISSING,
                "the IMA list, which the profile has rules for",
                "none",
                "--ima FILE",
            )
        )
    if profile.tpm_firmware is not None and statement.firmware_version not in profile.tpm_firmware:
        known = ", ".join(f"{v:016x}" for v in sorted(profile.tpm_firmware))
        result.failures.append(
            Failure(Reason.TPM_FIRMWARE, known, f"{statement.firmware_version:016x}")
        )
    result.unchecked.append("posture: not in these files")
    result.checked.append("firmware profile")
