"""The logs of evidence that lies in files: a boot log and an IMA list against the quote that covers
them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from framegate.errors import EvidenceRejected, Failure, Reason
from framegate.eventlog import (
    BootLog,
    edited_after_measuring,
    parse_boot_log,
    replay,
    structural_failures,
)
from framegate.eventlog.quirks import PADDED, candidates
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
from framegate.ima.judge import BOOT_AGGREGATE, ima_failures
from framegate.ima.replay import IMA_PCR
from framegate.profile.model import FirmwareProfile
from framegate.tpm.attest import Attest, PcrSelection
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE, HASH_NAME, Alg


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


def check_boot_log(
    result: OfflineResult,
    quote: Quote,
    raw: bytes | None,
    profile: FirmwareProfile | None,
    *,
    with_ima: bool,
) -> tuple[BootLog | None, dict[int, bytes]]:
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
        return None, known
    log = parse_boot_log(raw)
    replayed = dict(replay(log, selection.bank))
    result.failures += edited_after_measuring(log, selection.bank)
    result.findings += structural_failures(log, selection.bank)
    quirks, pinned = (profile.quirks, profile.pinned) if profile else (frozenset[str](), {})
    for candidate in candidates(log, replayed, selection.bank, quirks, pinned):
        values = candidate.values
        if known:
            differ = [
                p for p in selection.pcrs if p in values and p != IMA_PCR and values[p] != known[p]
            ]
            good = not differ
        else:
            good = quote.covers(values)
        if good:
            result.checked.append("boot log")
            result.facts["quirks"] = list(candidate.quirks)
            return candidate.log, {**values, **known}
    if known:
        differ = [
            p for p in selection.pcrs if p in replayed and p != IMA_PCR and replayed[p] != known[p]
        ]
        result.failures += [
            Failure(
                Reason.BOOT_LOG_REPLAY,
                f"PCR {p} {known[p].hex()}",
                replayed[p].hex(),
                "the log is not the whole story of this boot",
            )
            for p in differ
        ]
        return log, {**replayed, **known}
    if with_ima and IMA_PCR in selection.pcrs:  # decided together with the list
        return log, replayed
    absent = [p for p in selection.pcrs if p not in replayed]
    seen = f"the log has no PCR {', '.join(map(str, absent))}: give --pcrs" if absent else "another"
    result.failures.append(
        Failure(
            Reason.PCR_DIGEST,
            "pcrDigest of the replayed log",
            seen,
            "the log is not the whole story of this boot",
        )
    )
    return log, replayed


def check_ima(
    result: OfflineResult,
    quote: Quote,
    values: dict[int, bytes],
    log: BootLog | None,
    raw: bytes | None,
    profile: FirmwareProfile | None,
    allowlists: Sequence[Allowlist],
) -> None:
    """That a prefix of the list replays to the quoted PCR 10, and what it holds. Raises
    FramegateError where the list does not parse or is of another boot.
    """
    if raw is None:
        result.unchecked.append("IMA list: not given")
        return
    measured = parse_ima(raw)
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
    quoted = quote.certified.get(bank, {}).get(IMA_PCR)

    def covers(value: bytes) -> bool:
        return value == quoted if quoted is not None else quote.covers({**values, IMA_PCR: value})

    count, padded = _prefix(measured, bank, covers, profile)
    entries = measured.entries[:count]
    result.checked.append("IMA list")
    if log is not None and quoted is None and "boot log" not in result.checked:
        result.checked.append("boot log")
    result.facts |= {
        "ima_entries": count,
        "ima_ahead": len(measured.entries) - count,
        "ima_violations": sum(e.violation for e in entries),
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
            entries, profile.ima, chosen, bank, values, first=True, violations=0
        )
        result.checked.append("IMA allowlists")
        return
    _check_boot_aggregate(result, quote, log, entries[0] if entries else None)


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
