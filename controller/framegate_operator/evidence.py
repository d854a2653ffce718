"""`framegate evidence …`: replay, verify and look at evidence in files, without a controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Malformed, Reason
from framegate.eventlog import BootLog, edited_after_measuring, parse_boot_log, replay, structural_failures
from framegate.signed.dsse import strict_json
from framegate.tpm.constants import BANK_BY_NAME, HASH_NAME, Alg
from framegate_host.console import EXIT_FAILED, EXIT_UNTRUSTED, EXIT_USAGE, show_failures, show_json, talk
from framegate_operator.evidence_files import looks_like_ima, read_file, replay_ima, show, verify
from framegate_operator.output import show_table

app = typer.Typer(no_args_is_help=True, help="Evidence in files: replay, verify, show. Needs no controller.")
_PREFERRED: Final[tuple[Alg, ...]] = (Alg.SHA256, Alg.SHA384, Alg.SHA512, Alg.SHA1)


@app.callback()
def _group() -> None:
    """Evidence in files: replay, verify, show. Needs no controller."""


@app.command("replay")
def replay_(
    log: Annotated[Path, typer.Argument(help="A TCG boot event log, crypto-agile or SHA-1, as the kernel exposes it.")],
    expected: Annotated[Path | None, typer.Option(help='JSON with "pcrs": {bank: {pcr: hex}} to compare with.')] = None,
    bank: Annotated[str, typer.Option(help="sha1, sha256, sha384 or sha512; default: the strongest the log and the expectation share.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="table or json")] = "table",
) -> None:
    """Replay a boot log, or an IMA list, to PCR values and compare them. Exit code 0 match or nothing to compare, 6 mismatch or edited, 1 malformed."""
    if bank and bank not in BANK_BY_NAME:
        talk.print(f"expected --bank {', '.join(BANK_BY_NAME)}")
        raise typer.Exit(2)
    try:
        raw = read_file(log)
        wanted = _expected(expected) if expected else {}
        if looks_like_ima(raw):
            replay_ima(log, raw, wanted, bank, output)
            return
        parsed = parse_boot_log(raw)
        complete = _complete(parsed)
        if bank and BANK_BY_NAME[bank] not in complete:
            talk.print(f"expected --bank {' or '.join(HASH_NAME[b] for b in complete)}: this log has no {bank} digest of every event")
            raise typer.Exit(EXIT_USAGE)
        chosen = BANK_BY_NAME[bank] if bank else _choose(complete, wanted)
        values = dict(replay(parsed, chosen))
    except Malformed as error:
        if output == "json":
            show_json({"log": str(log), "malformed": [{"reason": f.reason, "expected": f.expected, "actual": f.actual} for f in error.failures]})
        else:
            show_failures(error.failures)
        raise typer.Exit(EXIT_FAILED) from error
    name = HASH_NAME[chosen]
    reference = wanted.get(name, {})
    differ = {p: v for p, v in reference.items() if (p in values and values[p] != v) or (p not in values and p < 8 and any(v))}
    findings, edited = structural_failures(parsed, chosen), edited_after_measuring(parsed, chosen)
    if output == "json":
        show_json(
            {
                "log": str(log), "bank": name, "banks": [HASH_NAME.get(b, b.name.lower()) for b in parsed.banks], "events": len(parsed.events),
                "startup_locality": parsed.startup_locality, "padding": parsed.padding,
                "pcrs": {str(p): v.hex() for p, v in sorted(values.items())}, "compared": sorted(p for p in reference if p in values or p in differ),
                "not_in_log": sorted(p for p in reference if p not in values and p not in differ),
                "mismatches": [
                    {"pcr": p, "expected": v.hex(), "actual": values[p].hex() if p in values else ""} for p, v in sorted(differ.items())
                ],
                "match": not differ if reference else None,
                "findings": [{"reason": f.reason, "expected": f.expected, "actual": f.actual} for f in findings],
                "edited": [{"reason": f.reason, "expected": f.expected, "actual": f.actual} for f in edited],
            }
        )  # fmt: skip
    else:
        words = {True: "DIFFERS", False: "matches"}
        rows = [(p, v.hex(), words[p in differ] if p in reference else "") for p, v in sorted(values.items())]
        rows += [(p, "not in the log", "DIFFERS") for p in sorted(differ) if p not in values]
        talk.print(f"{len(parsed.events)} events, banks {', '.join(b.name.lower() for b in parsed.banks)}; replayed {name}")
        show_table(("PCR", name, "expected" if reference else ""), rows, empty="the log measures nothing")
        for p, v in sorted(differ.items()):
            talk.print(f"PCR {p}: expected {v.hex()}, the log gives {values[p].hex() if p in values else 'nothing'}")
        if expected and not reference:
            talk.print(f"nothing to compare: the expectation has no {name} values")
        if findings:
            talk.print(f"{len(findings)} structural finding(s); a firmware profile would refuse this log:")
            show_failures(findings)
        if edited:
            talk.print("REFUSED: this log was edited after it was measured")
            show_failures(edited)
    if differ or edited:
        raise typer.Exit(EXIT_UNTRUSTED)


def _expected(path: Path) -> dict[str, dict[int, bytes]]:
    body: Any = strict_json(read_file(path))
    pcrs = body.get("pcrs", {}) if isinstance(body, dict) else None
    try:
        return {bank: {int(p): bytes.fromhex(v.removeprefix("0x")) for p, v in values.items()} for bank, values in pcrs.items()}  # type: ignore[union-attr]
    except (AttributeError, ValueError, TypeError) as error:
        raise Malformed.of(Reason.USAGE, f'"pcrs": {{bank: {{pcr: hex}}}} in {path}', type(error).__name__) from error


def _complete(log: BootLog) -> list[Alg]:
    """Banks in which every measured event has a digest, strongest habit first. Raises Malformed where there is none."""
    found = [b for b in _PREFERRED if b in log.banks and all(e.digests[log.column(b)] for e in log.events if e.extends)]
    if not found:
        raise Malformed.of(Reason.UNKNOWN_ALGORITHM, "a bank Framegate can replay", ", ".join(b.name for b in log.banks))
    return found


def _choose(complete: list[Alg], wanted: dict[str, dict[int, bytes]]) -> Alg:
    return next((b for b in complete if HASH_NAME[b] in wanted), complete[0])


app.command("verify")(verify)
app.command("show")(show)
