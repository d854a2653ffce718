"""`framegate evidence …`: replay, verify and look at evidence in files, without a controller."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Failure, FramegateError, Malformed, Reason
from framegate.eventlog import (
    BootLog,
    edited_after_measuring,
    parse_boot_log,
    replay,
    structural_failures,
)
from framegate.eventlog.user_space import OS_SEPARATOR, SEPARATOR_WORD, in_words, separated
from framegate.evidence.pcr_files import parse_pcr_file
from framegate.ima import ImaList, looks_like_ima, parse_ima, running_values
from framegate.ima.entry import IMA_PCR
from framegate.signed.dsse import strict_json
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE, HASH_NAME, Alg
from framegate_host.console import (
    EXIT_FAILED,
    EXIT_UNTRUSTED,
    EXIT_USAGE,
    show_failures,
    show_json,
    talk,
)
from framegate_operator.evidence_keep import keep
from framegate_operator.evidence_kinds import Kind
from framegate_operator.evidence_reading import read_as
from framegate_operator.evidence_show import show
from framegate_operator.evidence_verify import verify
from framegate_operator.options import Output
from framegate_operator.output import counted, show_table

app = typer.Typer(
    no_args_is_help=True, help="Evidence in files: replay, verify, show. Needs no controller."
)
_PREFERRED: Final[tuple[Alg, ...]] = (Alg.SHA256, Alg.SHA384, Alg.SHA512, Alg.SHA1)


@app.callback()
def _group() -> None:
    """Evidence in files: replay, verify, show. Needs no controller."""


@app.command("replay")
def replay_(
    log: Annotated[
        Path,
        typer.Argument(
            help="A TCG boot event log, crypto-agile or SHA-1, as the kernel exposes it."
        ),
    ],
    expected: Annotated[
        Path | None, typer.Option(help='JSON with "pcrs": {bank: {pcr: hex}} to compare with.')
    ] = None,
    bank: Annotated[
        str,
        typer.Option(
            help="sha1, sha256, sha384 or sha512; default: the strongest the log and the "
            "expectation share."
        ),
    ] = "",
    output: Output = "table",
) -> None:
    """Replay a boot log, or an IMA list, to PCR values and compare them.
    Exit code 0 match or nothing to compare, 6 mismatch or edited, 1 malformed.
    """
    if bank and bank not in BANK_BY_NAME:
        talk.print(f"expected --bank {', '.join(BANK_BY_NAME)}")
        raise typer.Exit(2)
    try:
        wanted = _expected(expected) if expected else {}
        parsed = read_as(log, _parse_log, Kind.BOOT_LOG, Kind.IMA)
        if isinstance(parsed, ImaList):
            _replay_ima(log, parsed, wanted, bank, output)
            return
        replayed = _replayed(parsed, bank, wanted)
    except Malformed as error:
        if output == "json":
            show_json({"log": str(log), "malformed": _without_hints(error.failures)})
        else:
            show_failures(error.failures)
        raise typer.Exit(EXIT_FAILED) from error
    if output == "json":
        show_json({"log": str(log), **_json(replayed)})
    else:
        _tell(replayed, asked=expected is not None)
    if replayed.differ or replayed.edited:
        raise typer.Exit(EXIT_UNTRUSTED)


def _parse_log(raw: bytes) -> BootLog | ImaList:
    return parse_ima(raw) if looks_like_ima(raw) else parse_boot_log(raw)


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A log replayed in one bank, beside the values expected of it.

    `differ` holds the expected values that the log does not give; `findings` what a firmware
    profile would refuse the log for; `edited` how it was changed after it was measured. `separated`
    are PCRs that differ by user space's os-separator alone.
    """

    log: BootLog
    bank: str
    values: Mapping[int, bytes]
    expected: Mapping[int, bytes]
    differ: Mapping[int, bytes]
    findings: Sequence[Failure]
    edited: Sequence[Failure]
    separated: frozenset[int]


def _replayed(log: BootLog, bank: str, wanted: Mapping[str, Mapping[int, bytes]]) -> _Replayed:
    """Raises Malformed, and Exit where `bank` is not in the log."""
    complete = _complete(log)
    if bank and BANK_BY_NAME[bank] not in complete:
        banks = " or ".join(HASH_NAME[b] for b in complete)
        talk.print(f"expected --bank {banks}: this log has no {bank} digest of every event")
        raise typer.Exit(EXIT_USAGE)
    chosen = BANK_BY_NAME[bank] if bank else _choose(complete, wanted)
    values = dict(replay(log, chosen))
    expected = wanted.get(HASH_NAME[chosen], {})
    return _Replayed(
        log=log,
        bank=HASH_NAME[chosen],
        values=values,
        expected=expected,
        differ={p: v for p, v in expected.items() if _differs(p, v, values)},
        findings=structural_failures(log, chosen),
        edited=edited_after_measuring(log, chosen),
        separated=separated(values, expected, chosen),
    )


def _differs(pcr: int, value: bytes, values: Mapping[int, bytes]) -> bool:
    """Firmware measures into PCR 0 to 7 at every boot: there, a log without an event differs."""
    return values[pcr] != value if pcr in values else pcr < 8 and any(value)


def _json(replayed: _Replayed) -> dict[str, Any]:
    told = {*replayed.values, *replayed.differ}
    mismatches = [
        {
            "pcr": p,
            "expected": v.hex(),
            "actual": replayed.values[p].hex() if p in replayed.values else "",
        }
        for p, v in sorted(replayed.differ.items())
    ]
    return {
        "bank": replayed.bank,
        "banks": [HASH_NAME.get(b, b.name.lower()) for b in replayed.log.banks],
        "events": len(replayed.log.events),
        "startup_locality": replayed.log.startup_locality,
        "padding": replayed.log.padding,
        "skipped_algorithms": [f"0x{d.id:04x}" for d in replayed.log.skipped],
        "os_separator": sorted(replayed.separated),
        "pcrs": {str(p): v.hex() for p, v in sorted(replayed.values.items())},
        "compared": sorted(p for p in replayed.expected if p in told),
        "not_in_log": sorted(p for p in replayed.expected if p not in told),
        "mismatches": mismatches,
        "match": not replayed.differ if replayed.expected else None,
        "findings": _without_hints(replayed.findings),
        "edited": _without_hints(replayed.edited),
    }


def _without_hints(failures: Sequence[Failure]) -> list[dict[str, str]]:
    return [{"reason": f.reason, "expected": f.expected, "actual": f.actual} for f in failures]


def _tell(replayed: _Replayed, *, asked: bool) -> None:
    """In words; `asked` says that there was something to compare with."""
    labels = {True: "DIFFERS", False: "matches"}
    rows = [
        (p, v.hex(), labels[p in replayed.differ] if p in replayed.expected else "")
        for p, v in sorted(replayed.values.items())
    ]
    rows += [
        (p, "not in the log", "DIFFERS")
        for p in sorted(replayed.differ)
        if p not in replayed.values
    ]
    banks = ", ".join(b.name.lower() for b in replayed.log.banks)
    talk.print(f"{len(replayed.log.events)} events, banks {banks}; replayed {replayed.bank}")
    columns = ("PCR", replayed.bank, "expected" if replayed.expected else "")
    show_table(columns, rows, empty="the log measures nothing")
    for p, v in sorted(replayed.differ.items()):
        gives = replayed.values[p].hex() if p in replayed.values else "nothing"
        talk.print(f"PCR {p}: expected {v.hex()}, the log gives {gives}")
    if replayed.separated:
        talk.print(
            f"PCR {in_words(replayed.separated)} would match with systemd 261's {SEPARATOR_WORD}"
            f" behind it: quirk {OS_SEPARATOR.quirk} of a profile"
        )
    if asked and not replayed.expected:
        talk.print(f"nothing to compare: the expectation has no {replayed.bank} values")
    if replayed.findings:
        count = len(replayed.findings)
        talk.print(f"{counted(count, 'structural finding')}; a firmware profile refuses this log:")
        show_failures(replayed.findings)
    if replayed.edited:
        talk.print("REFUSED: this log was edited after it was measured")
        show_failures(replayed.edited)


_BANKS: Final = frozenset({"PCRs", "hash", *BANK_BY_NAME, *(n.upper() for n in BANK_BY_NAME)})
"""Members of JSON in which tools write values, beside `pcrs`."""


def _expected(path: Path) -> dict[str, dict[int, bytes]]:
    """Values in any form that TPM tools write, or as this command itself writes them (-o json).
    None, of a JSON object that has no member in which they stand.
    """
    return read_as(path, _expected_in, Kind.PCRS)


def _expected_in(raw: bytes) -> dict[str, dict[int, bytes]]:
    with contextlib.suppress(FramegateError):  # what is no JSON, the reader of all forms says
        body: Any = strict_json(raw)
        if isinstance(body, dict) and isinstance(body.get("bank"), str) and "pcrs" in body:
            raw = json.dumps({body["bank"]: body["pcrs"]}).encode()
        elif isinstance(body, dict) and not body.get("pcrs") and _BANKS.isdisjoint(body):
            return {}
    return parse_pcr_file(raw).values


def _complete(log: BootLog) -> list[Alg]:
    """Banks in which every measured event has a digest, strongest habit first.

    Raises Malformed where there is none.
    """
    complete = [
        b
        for b in _PREFERRED
        if b in log.banks and all(e.digests[log.column(b)] for e in log.events if e.extends)
    ]
    if not complete:
        banks = ", ".join(b.name for b in log.banks)
        raise Malformed.of(Reason.UNKNOWN_ALGORITHM, "a bank Framegate can replay", banks)
    return complete


def _choose(complete: list[Alg], wanted: Mapping[str, Mapping[int, bytes]]) -> Alg:
    return next((b for b in complete if HASH_NAME[b] in wanted), complete[0])


@dataclass(frozen=True, slots=True)
class _ImaPcr:
    """One PCR of an IMA list in one bank: what its entries lead to, what was expected, and after
    how many entries of the list that is reached: None where it never is.
    """

    bank: str
    pcr: int
    value: bytes
    expected: bytes | None
    prefix: int | None

    @property
    def differs(self) -> bool:
        """Whether something else was expected."""
        return self.expected is not None and self.prefix is None


def _replay_ima(
    path: Path, ima_list: ImaList, wanted: dict[str, dict[int, bytes]], bank: str, output: str
) -> None:
    """Replay an IMA list to every PCR that its entries name, in every bank asked for, and compare;
    a list may be ahead of the value.
    """
    listed = sorted({e.pcr for e in ima_list.entries})
    asked = [n for n in wanted if n in BANK_BY_NAME and set(listed) & set(wanted[n])]
    names = [bank] if bank else asked or ["sha1", "sha256"]
    rows = [_ima_pcr(ima_list, n, p, wanted.get(n, {}).get(p)) for n in names for p in listed]
    if output == "json":
        show_json({"log": str(path), **_ima_json(ima_list, rows)})
    else:
        violations = sum(e.violation for e in ima_list.entries)
        talk.print(f"{len(ima_list.entries)} IMA entries, {violations} violations")
        cells = [(r.bank, r.pcr, r.value.hex(), _in_words(r, ima_list)) for r in rows]
        show_table(("bank", "PCR", "value", "expected"), cells, empty="nothing")
    if any(r.differs for r in rows):
        raise typer.Exit(EXIT_UNTRUSTED)


def _ima_pcr(ima_list: ImaList, name: str, pcr: int, expected: bytes | None) -> _ImaPcr:
    bank = BANK_BY_NAME[name]
    values = running_values(ima_list, bank, bytes(DIGEST_SIZE[bank]), pcr=pcr)
    fits = (n for n in range(len(values) - 1, -1, -1) if values[n] == expected)
    return _ImaPcr(name, pcr, values[-1], expected, next(fits, None))


def _ima_json(ima_list: ImaList, rows: Sequence[_ImaPcr]) -> dict[str, Any]:
    pcrs: dict[str, dict[str, str]] = {}
    prefix: dict[str, int | None] = {}
    for row in rows:
        pcrs.setdefault(row.bank, {})[str(row.pcr)] = row.value.hex()
        if row.expected is not None and (row.pcr == IMA_PCR or row.bank not in prefix):
            prefix[row.bank] = row.prefix
    compared = [r for r in rows if r.expected is not None]
    return {
        "kind": "ima",
        "entries": len(ima_list.entries),
        "violations": sum(e.violation for e in ima_list.entries),
        "padding": ima_list.padding,
        "pcrs": pcrs,
        "prefix": prefix,
        "match": not any(r.differs for r in compared) if compared else None,
    }


def _in_words(row: _ImaPcr, ima_list: ImaList) -> str:
    if row.expected is None:
        return ""
    if row.prefix is None:
        return "DIFFERS"
    whole = row.prefix == len(ima_list.entries)
    return "matches" if whole else f"matches after {row.prefix} entries"


app.command("verify")(verify)
app.command("show")(show)
app.command("keep")(keep)
