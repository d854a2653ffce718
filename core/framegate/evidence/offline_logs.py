"""The logs of evidence that lies in files: a boot log and an IMA list against the quote that covers
them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from framegate.errors import EvidenceRejected, Failure, Reason
from framegate.eventlog import (
    BootLog,
    edited_after_measuring,
    parse_boot_log,
    replay,
    structural_failures,
)
from framegate.eventlog.quirks import (
    EXTENDED,
    PADDED,
    SEPARATOR,
    Candidate,
    Grants,
    candidates,
    ungranted,
)
from framegate.eventlog.user_space import BOOT_PCRS, SEPARATOR_WORD, in_words, separated
from framegate.evidence.offline_result import OfflineResult
from framegate.ima import (
    ImaEntry,
    ImaList,
    boot_aggregates,
    find_prefix,
    parse_ima,
    running_values,
)
from framegate.ima.allowlist import Allowlist
from framegate.ima.entry import BOOT_AGGREGATE, IMA_PCR
from framegate.ima.judge import ima_failures
from framegate.ima.replay import require_one_pcr
from framegate.profile.model import FirmwareProfile
from framegate.tpm.attest import Attest, PcrSelection
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE, HASH_NAME, Alg

_RESETTABLE: Final = 16
"""From here on PCRs can be reset while the system runs, or start as all ones."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote whose signature holds, the one bank of it that is looked at, and the PCR values that
    are known to be the quoted ones; `hash_alg` is that of the signature and of pcrDigest.
    """

    statement: Attest
    selection: PcrSelection
    certified: Mapping[Alg, Mapping[int, bytes]]
    hash_alg: Alg

    def covers(self, values: Mapping[int, bytes]) -> bool:
        """Whether pcrDigest is that of `values`, the selection being all that was quoted."""
        selection = self.selection
        if self.statement.selections != (selection,) or any(
            p not in values for p in selection.pcrs
        ):
            return False
        digest = hashlib.new(
            HASH_NAME[self.hash_alg], b"".join(values[p] for p in selection.pcrs)
        ).digest()
        return hmac.compare_digest(digest, self.statement.pcr_digest)


class BootReplay(NamedTuple):
    """A boot log and the PCR values it leads to: all of them, and those `at_kernel`, before user
    space extended any. Where only the IMA list can tell which values were quoted, `undecided` are
    what they may be. `structural` are the log's structural faults in the quote's bank.
    """

    log: BootLog | None
    values: Mapping[int, bytes]
    at_kernel: Mapping[int, bytes]
    undecided: tuple[Candidate, ...] = ()
    structural: tuple[Failure, ...] = ()


def check_boot_log(
    result: OfflineResult,
    quote: Quote,
    raw: bytes | None,
    profile: FirmwareProfile | None,
    *,
    with_ima: bool,
) -> BootReplay:
    """The log and its PCR values in the selected bank, certified ones included.

    `with_ima` says that an IMA list is there, by which a quote over PCR 10 is decided. Raises
    FramegateError where the log does not parse.
    """
    selection = quote.selection
    known = dict(quote.certified.get(selection.bank, {}))
    if raw is None:
        result.unchecked.append(
            "boot log: not given"
            + ("" if known else "; pcrDigest: neither values nor a log were given")
        )
        return BootReplay(None, known, known)
    log = parse_boot_log(raw)
    replayed = dict(replay(log, selection.bank))
    structural = structural_failures(log, selection.bank)
    if structural:  # which tell of whatever an editor did
        result.failures += edited_after_measuring(log, selection.bank)
    result.findings += structural
    grants = profile.grants if profile else Grants()

    def differ(values: Mapping[int, bytes]) -> list[int]:
        """Quoted PCRs that have another value; with a profile one that is nowhere measured is due
        to be as it was at reset, as a controller takes it.
        """
        reset = bytes(DIGEST_SIZE[selection.bank]) if profile is not None else None
        due = {p: values.get(p, reset) for p in known if p != IMA_PCR and p < _RESETTABLE}
        return [p for p, v in due.items() if v is not None and v != known[p]]

    def fits(candidate: Candidate) -> bool:
        return not differ(candidate.values) if known else quote.covers(candidate.values)

    for candidate in candidates(log, replayed, selection.bank, grants):
        if fits(candidate):
            _affirmed(result, candidate, [] if profile else [p for p in known if p not in replayed])
            at_kernel = _with_reset(candidate.at_kernel, selection)
            if candidate.log is not log:
                structural = structural_failures(candidate.log, selection.bank)
            values = {**candidate.values, **known}
            return BootReplay(candidate.log, values, at_kernel, (), structural)
    hint = ungranted(log, replayed, selection.bank, grants, fits)
    if known:
        hint = hint or _user_space(replayed, known, differ(replayed), selection.bank)
        result.failures += [
            Failure(
                Reason.BOOT_LOG_REPLAY,
                f"PCR {p} {known[p].hex()}",
                replayed[p].hex() if p in replayed else "nothing measured",
                hint or "the log is not the whole story of this boot",
            )
            for p in differ(replayed)
        ]
        return BootReplay(log, {**replayed, **known}, replayed, (), structural)
    if with_ima and IMA_PCR in selection.pcrs:  # decided together with the list
        undecided = tuple(candidates(log, replayed, selection.bank, grants))
        return BootReplay(log, replayed, replayed, undecided, structural)
    absent = [p for p in selection.pcrs if p not in replayed]
    seen = f"the log has no PCR {', '.join(map(str, absent))}: give --pcrs" if absent else "another"
    result.failures.append(
        Failure(
            Reason.PCR_DIGEST,
            "pcrDigest of the replayed log",
            seen,
            hint or "the log is not the whole story of this boot",
        )
    )
    return BootReplay(log, replayed, replayed, (), structural)


def _with_reset(values: Mapping[int, bytes], selection: PcrSelection) -> dict[int, bytes]:
    """`values`, and of quoted PCRs that nothing was measured into what they have after a reset."""
    reset = bytes(DIGEST_SIZE[selection.bank])
    return {**{p: reset for p in selection.pcrs if p < _RESETTABLE and p != IMA_PCR}, **values}


def _affirmed(result: OfflineResult, candidate: Candidate, unlogged: list[int]) -> None:
    result.checked.append("boot log")
    result.of_logs["quirks"] = list(candidate.quirks)
    result.findings += [
        Failure(Reason.QUIRK, "a log that replays as it is", q, "the profile grants this quirk")
        for q in candidate.quirks
    ]
    elsewhere = [p for p in unlogged if p != IMA_PCR]
    if elsewhere:
        result.unchecked.append(f"PCR {in_words(elsewhere)}: not in the boot log")


def _user_space(
    replayed: Mapping[int, bytes], known: Mapping[int, bytes], differ: Collection[int], bank: Alg
) -> str:
    """A hint where what differs looks like user space's doing, though no quirk by name explains all
    of it.
    """
    alone = separated(replayed, known, bank)
    if alone & BOOT_PCRS and not alone >= BOOT_PCRS:
        return (
            f"the word {SEPARATOR_WORD} was extended into PCR {in_words(alone & BOOT_PCRS)} alone:"
            " systemd extends all of PCR 0 to 7 at once, so somebody else did"
        )
    rest = set(differ) - alone
    if rest & BOOT_PCRS:
        return ""
    said = f"systemd 261's {SEPARATOR_WORD} is in PCR {in_words(alone)} (quirk {SEPARATOR}); "
    return (
        f"{said if alone else ''}programs extend PCR {in_words(rest)} after boot, systemd 259 and"
        " later PCR 9 for its NvPCRs: list their words as [[extend]] with quirk"
        f" {EXTENDED}, or quote without PCR {in_words(rest)}"
    )


def check_ima(
    result: OfflineResult,
    quote: Quote,
    boot: BootReplay,
    raw: bytes | None,
    profile: FirmwareProfile | None,
    allowlists: Sequence[Allowlist],
) -> None:
    """That a prefix of the list replays to the quoted PCR 10, and what it holds. Raises
    FramegateError where the list does not parse or is of another boot.

    Entries that an IMA rule with pcr= had extended elsewhere are not covered by PCR 10: a profile
    refuses them; without one they are replayed to the PCR they name, where that was quoted.
    """
    if raw is None:
        result.unchecked.append("IMA list: not given")
        return
    measured = parse_ima(raw)
    if profile is not None:
        require_one_pcr(measured.entries)
    bank = quote.selection.bank
    if IMA_PCR not in quote.selection.pcrs:
        raise EvidenceRejected(
            [
                Failure(
                    Reason.IMA_REPLAY,
                    f"PCR {IMA_PCR} in the quote",
                    "not quoted: nothing vouches for the list",
                )
            ]
        )
    boot, count, padded = _covered(result, quote, boot, measured, profile)
    entries = measured.entries[:count]
    result.checked.append("IMA list")
    _elsewhere(result, quote, measured, boot.at_kernel)
    result.of_logs |= {
        "ima_entries": count,
        "ima_ahead": len(measured.entries) - count,
        "ima_violations": entries.violations,
        "ima_padded_sha1": padded,
    }
    if profile is not None and profile.ima is not None:
        given = {a.digest for a in allowlists}
        missing = [d for d in profile.ima.allowlists if d not in given]
        if missing:
            result.failures.append(
                Failure(
                    Reason.ALLOWLIST,
                    f"the allowlist sha256:{missing[0].hex()}",
                    "not given",
                    "--allowlist FILE",
                )
            )
            return
        chosen = [a for a in allowlists if a.digest in set(profile.ima.allowlists)]
        result.failures += ima_failures(
            entries, profile.ima, chosen, bank, boot.at_kernel, first=True, violations=0
        )
        result.checked.append("IMA allowlists")
        return
    first = next((e for e in entries if e.pcr == IMA_PCR), None)
    _check_boot_aggregate(result, quote, boot.log, first)


class _Covered(NamedTuple):
    """The boot that fits, how many IMA entries the quote covers, and whether by the quirk."""

    boot: BootReplay
    entries: int
    padded: bool


def _covered(
    result: OfflineResult,
    quote: Quote,
    boot: BootReplay,
    measured: ImaList,
    profile: FirmwareProfile | None,
) -> _Covered:
    """Raises EvidenceRejected (IMA_REPLAY) where no prefix of the list gives what was quoted."""
    selection = quote.selection
    quoted = quote.certified.get(selection.bank, {}).get(IMA_PCR)
    for candidate in boot.undecided:
        values = candidate.values

        def whole(value: bytes, values: Mapping[int, bytes] = values) -> bool:
            return quote.covers({**values, IMA_PCR: value})

        try:
            count, padded = _prefix(measured, selection.bank, whole, profile)
        except EvidenceRejected:
            continue
        _affirmed(result, candidate, [])
        at_kernel = _with_reset(candidate.at_kernel, selection)
        return _Covered(BootReplay(candidate.log, values, at_kernel), count, padded)

    def covers(value: bytes) -> bool:
        if quoted is not None:
            return value == quoted
        return quote.covers({**boot.values, IMA_PCR: value})

    return _Covered(boot, *_prefix(measured, selection.bank, covers, profile))


def _elsewhere(
    result: OfflineResult, quote: Quote, measured: ImaList, at_kernel: Mapping[int, bytes]
) -> None:
    """Entries of other PCRs: a prefix gives the quoted value, or nothing vouches for them."""
    known, bank = quote.certified.get(quote.selection.bank, {}), quote.selection.bank
    for pcr in sorted(measured.entries.pcrs - {IMA_PCR}):
        count = sum(e.pcr == pcr for e in measured.entries.special.values())
        about = f"{count} IMA entries of PCR {pcr}"
        if pcr not in known:
            result.unchecked.append(f"{about}: not quoted, nothing vouches for them")
        elif known[pcr] in running_values(
            measured, bank, at_kernel.get(pcr, bytes(DIGEST_SIZE[bank])), pcr=pcr
        ):
            result.checked.append(about)
        else:
            result.failures.append(
                Failure(
                    Reason.IMA_REPLAY,
                    f"{about} that replay to {known[pcr].hex()}",
                    "they do not",
                    "the list was shortened or altered, or something else extended that PCR",
                )
            )


def _check_boot_aggregate(
    result: OfflineResult, quote: Quote, log: BootLog | None, first: ImaEntry | None
) -> None:
    if first is None or first.path != BOOT_AGGREGATE:
        result.failures.append(
            Failure(
                Reason.IMA_BOOT_AGGREGATE,
                "boot_aggregate first",
                "another entry or none",
                "the list was cut at its front",
            )
        )
        return
    algorithm = BANK_BY_NAME.get(first.algorithm)
    source = dict(quote.certified.get(algorithm, {})) if algorithm else {}
    if not source and algorithm is not None and log is not None and algorithm in log.banks:
        source = dict(replay(log, algorithm))
    expected = boot_aggregates(source, first.algorithm) if source else frozenset()
    if not expected:
        result.unchecked.append(f"boot_aggregate: no {first.algorithm} values of PCR 0 to 7")
    elif first.digest not in expected:
        wanted = " or ".join(sorted(a.hex() for a in expected))
        result.failures.append(
            Failure(
                Reason.IMA_BOOT_AGGREGATE,
                f"{first.algorithm}:{wanted}",
                first.digest.hex(),
                "the list is of another boot",
            )
        )
    else:
        result.checked.append("boot_aggregate")


def _prefix(
    measured: ImaList, bank: Alg, covers: Callable[[bytes], bool], profile: FirmwareProfile | None
) -> tuple[int, bool]:
    try:
        return find_prefix(running_values(measured, bank, bytes(DIGEST_SIZE[bank])), covers), False
    except EvidenceRejected:
        if profile is not None and PADDED not in profile.quirks:
            raise
        return (
            find_prefix(
                running_values(measured, bank, bytes(DIGEST_SIZE[bank]), padded_sha1=True), covers
            ),
            True,
        )
