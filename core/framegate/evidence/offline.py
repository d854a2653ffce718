"""Verify evidence that lies in files, without a controller: for auditors, and for whoever wants to
know what a quote is worth.

Nothing passes because it was not looked at: what could not be checked is said, and a profile
demands every log it has rules for.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from framegate.errors import EvidenceRejected, Failure, FramegateError, Reason
from framegate.eventlog import (
    BootLog,
    edited_after_measuring,
    parse_boot_log,
    replay,
    structural_failures,
)
from framegate.eventlog.quirks import PADDED, candidates
from framegate.evidence.appraise import (
    AFFIRMING,
    CONTRAINDICATED,
    NO_CLAIM,
    event_failures,
    secure_boot_failures,
)
from framegate.evidence.quote_files import (
    AttestationKey,
    check_ak,
    key_words,
    load_ak,
    load_attest,
    verify_quote_signature,
)
from framegate.ima import boot_aggregates, find_prefix, parse_ima, running_values
from framegate.ima.allowlist import Allowlist
from framegate.ima.judge import BOOT_AGGREGATE, ima_failures
from framegate.ima.parse import ImaList
from framegate.ima.replay import IMA_PCR
from framegate.profile.model import FirmwareProfile
from framegate.tpm.attest import Attest, PcrSelection
from framegate.tpm.constants import (
    BANK_BY_NAME,
    DIGEST_SIZE,
    HASH_NAME,
    TPM_GENERATED,
    TPM_RH_OWNER,
    Alg,
    St,
)

PcrValues = Mapping[str, Mapping[int, bytes]]
"""Bank name to PCR index to value."""


@dataclass
class Report:
    """What came of it. `affirming` needs no failure; `checked` and `unchecked` say what stood
    behind that.
    """

    failures: list[Failure] = field(default_factory=list)
    findings: list[Failure] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def affirming(self) -> bool:
        """Whether nothing that was checked failed."""
        return not self.failures

    def vector(self) -> dict[str, int]:
        """AR4SI claims as far as what was given carries them."""
        kinds = {f.reason for f in self.failures}
        bad = CONTRAINDICATED if self.failures else NO_CLAIM
        files = {r for r in kinds if r.value.startswith("ima-")}
        return {
            "instance-identity": (
                CONTRAINDICATED
                if kinds
                & {
                    Reason.SIGNATURE,
                    Reason.AK_TEMPLATE,
                    Reason.MAGIC,
                    Reason.EXTRA_DATA,
                    Reason.ATTEST_TYPE,
                }
                else AFFIRMING
            ),
            "executables": (
                bad
                if kinds - files
                else AFFIRMING
                if "firmware profile" in self.checked
                else NO_CLAIM
            ),
            "file-system": (
                CONTRAINDICATED
                if files
                else AFFIRMING
                if "IMA allowlists" in self.checked
                else NO_CLAIM
            ),
        }


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
) -> Report:
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
    report = Report()
    try:
        key, statement = load_ak(ak), load_attest(attest)
        report.facts["ak"] = key_words(key)
        report.failures += check_ak(key)  # 1
        raw = attest[2:] if len(statement.raw) == len(attest) - 2 else attest
        hash_alg = verify_quote_signature(key, raw, signature)  # 2
        _header(statement, nonce)  # 3
    except FramegateError as error:
        report.failures += error.failures
        return report
    report.checked += ["AK attributes"] if key.public is not None else []
    report.unchecked += (
        [] if key.public is not None else ["AK attributes: only the bare key was given"]
    )
    report.checked += ["signature", "magic", "type", "nonce"]
    _facts(report, key, statement)
    wanted = [(s, HASH_NAME.get(s.bank)) for s in statement.selections if s.pcrs]
    if not wanted:
        report.failures.append(
            Failure(Reason.PCR_SELECTION, "a quote over at least one PCR", "an empty selection")
        )
        return report
    if len(wanted) > 1:
        report.findings.append(
            Failure(
                Reason.PCR_SELECTION,
                "one bank",
                " + ".join(n or "?" for _, n in wanted),
                "a controller of Framegate asks for one bank and refuses several",
            )
        )
    certified = _certified(report, statement, pcrs, hash_alg) if pcrs is not None else {}
    bank = (
        profile.selection.bank
        if profile
        else next((s.bank for s, _ in wanted if s.bank == Alg.SHA256), wanted[0][0].bank)
    )
    selection = next((s for s, _ in wanted if s.bank == bank), wanted[0][0])
    try:
        log, values = _boot(
            report, statement, selection, certified, boot_log, ima, profile, hash_alg
        )
        _ima(
            report, statement, selection, certified, values, log, ima, profile, allowlists, hash_alg
        )
    except FramegateError as error:
        report.failures += error.failures
        log = None
    if profile is not None:
        _profile(report, statement, selection, log, ima, profile)
    return report


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


def _facts(report: Report, key: AttestationKey, statement: Attest) -> None:
    clock = statement.clock_info
    report.facts |= {
        "tpm_firmware": f"{statement.firmware_version:016x}",
        "clock_ms": clock.clock,
        "reset_count": clock.reset_count,
        "restart_count": clock.restart_count,
        "safe": clock.safe,
        "selection": {
            HASH_NAME.get(s.bank, s.bank.name.lower()): list(s.pcrs) for s in statement.selections
        },
    }
    if key.public is not None:
        signer = statement.qualified_signer
        where = (
            "the endorsement hierarchy"
            if signer == key.public.qualified_name()
            else "the owner hierarchy"
            if signer == key.public.qualified_name(TPM_RH_OWNER)
            else ""
        )
        report.facts["ak_parent"] = (
            f"a primary of {where}" if where else "below another key, which was not given"
        )
        if not where:
            report.findings.append(
                Failure(
                    Reason.QUALIFIED_SIGNER,
                    key.public.qualified_name().hex(),
                    signer.hex(),
                    "the AK has a parent: that this public area is the one that signed rests on the"
                    " key alone",
                )
            )


def _certified(
    report: Report, statement: Attest, pcrs: PcrValues, hash_alg: Alg
) -> dict[Alg, dict[int, bytes]]:
    found: dict[Alg, dict[int, bytes]] = {}
    missing = []
    for selection in statement.selections:
        given = pcrs.get(HASH_NAME.get(selection.bank, ""), {})
        missing += [f"{selection.bank.name.lower()}:{p}" for p in selection.pcrs if p not in given]
        found[selection.bank] = {p: given[p] for p in selection.pcrs if p in given}
    outside = [
        f"{n}:{p}"
        for n, values in pcrs.items()
        for p in values
        if p not in found.get(BANK_BY_NAME.get(n, Alg.NULL), {})
    ]
    if outside:
        report.findings.append(
            Failure(
                Reason.PCR_SELECTION,
                "values of quoted PCRs only",
                f"{len(outside)} others, not used",
                "nothing vouches for them",
            )
        )
    if missing:
        report.failures.append(
            Failure(
                Reason.PCR_SELECTION,
                "a value of every quoted PCR",
                f"none of {', '.join(missing[:12])}",
            )
        )
        return {}
    digest = hashlib.new(
        HASH_NAME[hash_alg],
        b"".join(found[s.bank][p] for s in statement.selections for p in s.pcrs),
    ).digest()
    if not hmac.compare_digest(digest, statement.pcr_digest):
        report.failures.append(
            Failure(
                Reason.PCR_DIGEST,
                f"pcrDigest {statement.pcr_digest.hex()}",
                f"{digest.hex()} of the given values",
                "the values are not those that were quoted",
            )
        )
        return {}
    report.checked.append("PCR values")
    return found


def _boot(  # noqa: PLR0913 - members of a record
    report: Report,
    statement: Attest,
    selection: PcrSelection,
    certified: Mapping[Alg, Mapping[int, bytes]],
    raw: bytes | None,
    ima: bytes | None,
    profile: FirmwareProfile | None,
    hash_alg: Alg,
) -> tuple[BootLog | None, dict[int, bytes]]:
    """The log and its PCR values in the selected bank, certified ones included."""
    known = dict(certified.get(selection.bank, {}))
    if raw is None:
        report.unchecked.append(
            "boot log: not given"
            + ("" if known else "; pcrDigest: neither values nor a log were given")
        )
        return None, known
    log = parse_boot_log(raw)
    replayed = dict(replay(log, selection.bank))
    report.failures += edited_after_measuring(log, selection.bank)
    report.findings += structural_failures(log, selection.bank)
    quirks, pinned = (profile.quirks, profile.pinned) if profile else (frozenset[str](), {})
    for candidate in candidates(log, replayed, selection.bank, quirks, pinned):
        values = candidate.values
        if known:
            differ = [
                p for p in selection.pcrs if p in values and p != IMA_PCR and values[p] != known[p]
            ]
            good = not differ
        else:
            good = _covers(statement, selection, values, hash_alg)
        if good:
            report.checked.append("boot log")
            report.facts["quirks"] = list(candidate.quirks)
            return candidate.log, {**values, **known}
    if known:
        differ = [
            p for p in selection.pcrs if p in replayed and p != IMA_PCR and replayed[p] != known[p]
        ]
        report.failures += [
            Failure(
                Reason.BOOT_LOG_REPLAY,
                f"PCR {p} {known[p].hex()}",
                replayed[p].hex(),
                "the log is not the whole story of this boot",
            )
            for p in differ
        ]
        return log, {**replayed, **known}
    if ima is not None and IMA_PCR in selection.pcrs:  # decided together with the list
        return log, replayed
    absent = [p for p in selection.pcrs if p not in replayed]
    seen = f"the log has no PCR {', '.join(map(str, absent))}: give --pcrs" if absent else "another"
    report.failures.append(
        Failure(
            Reason.PCR_DIGEST,
            "pcrDigest of the replayed log",
            seen,
            "the log is not the whole story of this boot",
        )
    )
    return log, replayed


def _covers(
    statement: Attest, selection: PcrSelection, values: Mapping[int, bytes], hash_alg: Alg
) -> bool:
    if statement.selections != (selection,) or any(p not in values for p in selection.pcrs):
        return False
    digest = hashlib.new(HASH_NAME[hash_alg], b"".join(values[p] for p in selection.pcrs)).digest()
    return hmac.compare_digest(digest, statement.pcr_digest)


def _ima(  # noqa: PLR0913 - members of a record
    report: Report,
    statement: Attest,
    selection: PcrSelection,
    certified: Mapping[Alg, Mapping[int, bytes]],
    values: dict[int, bytes],
    log: BootLog | None,
    raw: bytes | None,
    profile: FirmwareProfile | None,
    allowlists: Sequence[Allowlist],
    hash_alg: Alg,
) -> None:
    if raw is None:
        report.unchecked.append("IMA list: not given")
        return
    found = parse_ima(raw)
    bank = selection.bank
    if IMA_PCR not in selection.pcrs:
        raise EvidenceRejected(
            [
                Failure(
                    Reason.IMA_REPLAY,
                    f"PCR {IMA_PCR} in the quote",
                    "not quoted: nothing vouches for the list",
                )
            ]
        )
    quoted = certified.get(bank, {}).get(IMA_PCR)

    def covers(value: bytes) -> bool:
        return (
            value == quoted
            if quoted is not None
            else _covers(statement, selection, {**values, IMA_PCR: value}, hash_alg)
        )

    count, padded = _prefix(found, bank, covers, profile)
    entries = found.entries[:count]
    report.checked.append("IMA list")
    if log is not None and quoted is None and "boot log" not in report.checked:
        report.checked.append("boot log")
    report.facts |= {
        "ima_entries": count,
        "ima_ahead": len(found.entries) - count,
        "ima_violations": sum(e.violation for e in entries),
        "ima_padded_sha1": padded,
    }
    if profile is not None and profile.ima is not None:
        held = {a.digest for a in allowlists}
        missing = [d for d in profile.ima.allowlists if d not in held]
        if missing:
            report.failures.append(
                Failure(
                    Reason.ALLOWLIST,
                    f"the allowlist sha256:{missing[0].hex()}",
                    "not given",
                    "--allowlist FILE",
                )
            )
            return
        chosen = [a for a in allowlists if a.digest in set(profile.ima.allowlists)]
        report.failures += ima_failures(
            entries, profile.ima, chosen, bank, values, first=True, violations=0
        )
        report.checked.append("IMA allowlists")
        return
    first = entries[0] if entries else None
    if first is None or first.path != BOOT_AGGREGATE:
        report.failures.append(
            Failure(
                Reason.IMA_BOOT_AGGREGATE,
                "boot_aggregate first",
                "another entry or none",
                "the list was cut at its front",
            )
        )
        return
    algorithm = BANK_BY_NAME.get(first.algorithm)
    source = dict(certified.get(algorithm, {})) if algorithm else {}
    if not source and algorithm is not None and log is not None and algorithm in log.banks:
        source = dict(replay(log, algorithm))
    expected = boot_aggregates(source, first.algorithm) if source else frozenset()
    if not expected:
        report.unchecked.append(f"boot_aggregate: no {first.algorithm} values of PCR 0 to 7")
    elif first.digest not in expected:
        wanted = " or ".join(sorted(a.hex() for a in expected))
        report.failures.append(
            Failure(
                Reason.IMA_BOOT_AGGREGATE,
                f"{first.algorithm}:{wanted}",
                first.digest.hex(),
                "the list is of another boot",
            )
        )
    else:
        report.checked.append("boot_aggregate")


def _prefix(
    found: ImaList, bank: Alg, covers: Callable[[bytes], bool], profile: FirmwareProfile | None
) -> tuple[int, bool]:
    try:
        return find_prefix(running_values(found, bank, bytes(DIGEST_SIZE[bank])), covers), False
    except EvidenceRejected:
        if profile is not None and PADDED not in profile.quirks:
            raise
        return (
            find_prefix(
                running_values(found, bank, bytes(DIGEST_SIZE[bank]), padded_sha1=True), covers
            ),
            True,
        )


def _profile(
    report: Report,
    statement: Attest,
    selection: PcrSelection,
    log: BootLog | None,
    ima: bytes | None,
    profile: FirmwareProfile,
) -> None:
    if statement.selections != (profile.selection,):
        report.failures.append(
            Failure(
                Reason.PCR_SELECTION,
                str(profile.selection.pcrs),
                str(selection.pcrs),
                "the quote was asked for other PCRs than the profile's",
            )
        )
    if log is None:
        if not any(f.reason.value.startswith(("boot-log", "too-large")) for f in report.failures):
            report.failures.append(
                Failure(
                    Reason.BOOT_LOG_MISSING,
                    "the boot log, which the profile has rules for",
                    "none",
                    "--boot-log FILE",
                )
            )
    elif profile.selection.bank in log.banks:
        report.failures += structural_failures(log, profile.selection.bank)
        report.findings = [
            f for f in report.findings if f.reason not in {Reason.SEPARATOR, Reason.EVENT_DATA}
        ]
        report.failures += event_failures(log, profile)
        report.failures += secure_boot_failures(log, profile)
    if profile.ima is not None and ima is None:
        report.failures.append(
            Failure(
                Reason.IMA_MISSING,
                "the IMA list, which the profile has rules for",
                "none",
                "--ima FILE",
            )
        )
    if profile.tpm_firmware is not None and statement.firmware_version not in profile.tpm_firmware:
        known = ", ".join(f"{v:016x}" for v in sorted(profile.tpm_firmware))
        report.failures.append(
            Failure(Reason.TPM_FIRMWARE, known, f"{statement.firmware_version:016x}")
        )
    report.unchecked.append("posture: not in these files")
    report.checked.append("firmware profile")
