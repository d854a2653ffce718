"""`framegate evidence …`: replay, verify and look at evidence in files, without a controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Failure, Malformed, Reason
from framegate.eventlog import (
    BootLog,
    edited_after_measuring,
    parse_boot_log,
    replay,
    structural_failures,
)
from framegate.ima import parse_ima, running_values
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
from framegate_operator.evidence_files import looks_like_ima, pcr_table, read_file
from framegate_operator.evidence_show import show
from framegate_operator.evidence_verify import verify
from framegate_operator.options import Output
from framegate_operator.output import show_table

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
        raw = read_file(log)
        wanted = _expected(expected) if expected else {}
        if looks_like_ima(raw):
            _replay_ima(log, raw, wanted, bank, output)
            return
        replayed = _replayed(parse_boot_log(raw), bank, wanted)
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


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A log replayed in one bank, beside the values expected of it.

    `differ` holds the expected values that the log does not give; `findings` what a firmware
    profile would refuse the log for; `edited` how it was changed after it was measured.
    """

    log: BootLog
    bank: str
    values: Mapping[int, bytes]
    expected: Mapping[int, bytes]
    differ: Mapping[int, bytes]
    findings: Sequence[Failure]
    edited: Sequence[Failure]


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
    if asked and not replayed.expected:
        talk.print(f"nothing to compare: the expectation has no {replayed.bank} values")
    if replayed.findings:
        count = len(replayed.findings)
        talk.print(f"{count} structural finding(s); a firmware profile would refuse this log:")
        show_failures(replayed.findings)
    if replayed.edited:
        talk.print("REFUSED: this log was edited after it was measured")
        show_failures(replayed.edited)


def _expected(path: Path) -> dict[str, dict[int, bytes]]:
    body: Any = strict_json(read_file(path))
    pcrs = body.get("pcrs", {}) if isinstance(body, dict) else None
    return pcr_table(pcrs, f'"pcrs": {{bank: {{pcr: hex}}}} in {path}')


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


def _replay_ima(
    path: Path, raw: bytes, wanted: dict[str, dict[int, bytes]], bank: str, output: str
) -> None:
    """Replay an IMA list to PCR 10 in every bank asked for and compare; a list may be ahead of the
    value. Raises Malformed.
    """
    ima_list = parse_ima(raw)
    names = (
        [bank]
        if bank
        else [n for n in wanted if 10 in wanted[n] and n in BANK_BY_NAME] or ["sha1", "sha256"]
    )
    violations, rows, differ = sum(e.violation for e in ima_list.entries), [], []
    body: dict[str, Any] = {
        "log": str(path),
        "kind": "ima",
        "entries": len(ima_list.entries),
        "violations": violations,
        "padding": ima_list.padding,
        "pcrs": {},
        "prefix": {},
    }
    for name in names:
        algorithm = BANK_BY_NAME[name]
        values = running_values(ima_list, algorithm, bytes(DIGEST_SIZE[algorithm]))
        reference = wanted.get(name, {}).get(10)
        body["pcrs"][name] = values[-1].hex()
        if reference is None:
            rows.append((name, values[-1].hex(), ""))
            continue
        count = next((n for n in range(len(values) - 1, -1, -1) if values[n] == reference), None)
        body["prefix"][name] = count
        if count is None:
            differ.append(name)
        rows.append(
            (
                name,
                values[-1].hex(),
                "DIFFERS"
                if count is None
                else "matches"
                if count == len(ima_list.entries)
                else f"matches after {count} entries",
            )
        )
    body["match"] = not differ if any(10 in wanted.get(n, {}) for n in names) else None
    if output == "json":
        show_json(body)
    else:
        talk.print(f"{len(ima_list.entries)} IMA entries, {violations} violations")
        show_table(("bank", "PCR 10", "expected"), rows, empty="nothing")
    if differ:
        raise typer.Exit(EXIT_UNTRUSTED)


app.command("verify")(verify)
app.command("show")(show)
