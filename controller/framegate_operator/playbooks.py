"""`framegate playbook …`: what the fleet does by itself when the record shows something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Malformed, Reason
from framegate.playbooks.actions import NATURES
from framegate.playbooks.cacao import cacao_of
from framegate.playbooks.parse import MAX_BYTES, parse_playbook
from framegate.playbooks.playbook import Playbook
from framegate_host.console import EXIT_FAILED, EXIT_UNTRUSTED, safe, show_json, talk, typed
from framegate_host.printing import show_text
from framegate_host.private_files import write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, ago_ms, data, errors, show_table
from framegate_operator.playbook_cases import run_cases
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Playbooks: what the fleet does by itself when the record shows something.",
)
File = Annotated[Path, typer.Argument(help="A playbook, TOML.")]
PlaybookName = Annotated[str, typer.Argument(help="The playbook's name.")]


@app.command("list")
@read
def list_playbooks(output: Output = "table", context: Context = None) -> None:
    """Playbooks, in which mode each runs, and whether enough of its people still stand."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ListPlaybooks(pb.ListRequest()).rows
        if output == "json":
            show_json([_row(r) for r in rows])
            return
        cells = [
            (
                r.name,
                r.revision,
                "stopped" if r.ended else r.mode,
                f"{len(r.standing)} of {r.quorum}",
                ago(r.enabled_ms),
                _summary(r),
            )
            for r in rows
        ]
        columns = ("playbook", "rev", "mode", "people", "since", "")
        show_table(columns, cells, empty="none: framegate playbook enable FILE")
        for r in rows:
            if not r.ended and len(r.standing) < r.quorum:
                talk.print(
                    f"[yellow]{safe(r.name)} does nothing: who approved it is gone[/]; "
                    "next: framegate playbook enable FILE"
                )


@app.command("show")
@read
def show(name: PlaybookName, output: Output = "table", context: Context = None) -> None:
    """A playbook as it is in force: its text, who put it in force, and who approved it."""
    with errors():
        row = _named(name, context)
        if output == "json":
            show_json(_row(row))
            return
        data.print(safe(row.text) if not row.ended else "# stopped", soft_wrap=True)
        approvers = ", ".join(map(safe, row.approvers)) or "nobody"
        talk.print(
            f"revision {row.revision} by {safe(row.enabled_by)}, {ago(row.enabled_ms)}; "
            f"approved by {approvers}"
        )


@app.command("test")
def test(file: File, output: Output = "table") -> None:
    """Read a playbook, and run the cases beside it (FILE with .json): entries go in, runs are
    expected. Needs no controller. Exit code 1 where a case fails.
    """
    with errors():
        playbook = _read(file)
        results = run_cases(playbook, file.with_suffix(".json"))
        if output == "json":
            show_json({"playbook": playbook.name, "cases": [r.as_dict() for r in results]})
        else:
            rows = [(r.case, "ok" if r.failure == "" else "FAILED", r.failure) for r in results]
            show_table(("case", "", ""), rows, empty="no cases beside it")
            undo = [(a.value, NATURES[a].command or playbook.undo[a]) for a in playbook.do]
            show_table(("does", "undone by"), undo, empty="")
            talk.print(f"valid: {safe(playbook.name)}, mode {playbook.mode}")
    if any(r.failure for r in results):
        raise typer.Exit(EXIT_FAILED)


@app.command("simulate")
def simulate(
    file: File,
    since: Annotated[str, typer.Option(help="How far back: 12h, 7d.")] = "7d",
    output: Output = "table",
    context: Context = None,
) -> None:
    """What a playbook would have answered, had it been in force: the record is replayed by the code
    that acts. Changes nothing. Exit code 6 where it would have acted.
    """
    with errors():
        playbook = _read(file)
        asked = pb.SimulatePlaybookRequest(text=playbook.text, since_ms=ago_ms(since))
        with operator_stub(load_context(context)) as stub:
            runs = list(stub.SimulatePlaybook(asked, stream=True))
        acted = [r for r in runs if r.verdict == "act"]
        if output == "json":
            show_json({"would_act": len(acted), "runs": [_run(r) for r in runs]})
        else:
            cells = [
                (r.trigger, ago(r.at_ms), r.event, r.subject, r.verdict.upper(), r.why)
                for r in runs
            ]
            columns = ("entry", "when", "event", "about", "would", "")
            show_table(columns, cells, empty="it would have answered nothing")
            talk.print(
                f"{len(acted)} of {len(runs)} by itself: {', '.join(a.value for a in playbook.do)}"
            )
    if acted:
        raise typer.Exit(EXIT_UNTRUSTED)


@app.command("enable")
@write
def enable(
    file: File,
    note: Annotated[str, typer.Option(help="What it is for, for the history.")] = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Put a playbook in force, in the mode that it says. Somebody else has to approve exactly this
    text.
    """
    with errors():
        playbook = _read(file)
        with operator_stub(load_context(context)) as stub:
            kept = {r.name: r.revision for r in stub.ListPlaybooks(pb.ListRequest()).rows}
            row = stub.EnablePlaybook(
                pb.EnablePlaybookRequest(
                    text=playbook.text, base=kept.get(playbook.name, 0), note=note
                )
            )
        if output == "json":
            show_json(_row(row))
        else:
            talk.print(
                f"playbook {safe(row.name)} revision {row.revision} is in force, mode {row.mode}; "
                f"next: framegate playbook history {typed(row.name)}"
            )


@app.command("disable")
@write
def disable(
    name: PlaybookName,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    output: Output = "table",
    context: Context = None,
) -> None:
    """Stop a playbook at once, and what it had not done yet. One person suffices."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.DisablePlaybook(pb.DisablePlaybookRequest(name=name, reason=reason))
        if output == "json":
            show_json(_row(row))
        else:
            talk.print(f"playbook {safe(row.name)} is stopped")


@app.command("history")
@read
def history(
    name: Annotated[str, typer.Argument(help="Default: every playbook.")] = "",
    since: Annotated[str, typer.Option(help="How far back: 12h, 7d.")] = "7d",
    limit: Annotated[int, typer.Option(min=1, max=5000, help="At most so many steps.")] = 200,
    output: Output = "table",
    context: Context = None,
) -> None:
    """What playbooks did, asked for and left alone, the latest first, and what undoes it."""
    with errors():
        asked = pb.PlaybookHistoryRequest(name=name, since_ms=ago_ms(since), limit=limit)
        with operator_stub(load_context(context)) as stub:
            rows = stub.PlaybookHistory(asked).rows
        if output == "json":
            show_json([_step(r) for r in rows])
            return
        cells = [
            (
                ago(r.at_ms),
                r.playbook,
                r.trigger,
                r.action,
                r.target,
                r.state,
                r.undo or r.why or (f"request {r.request}" if r.state == "asked" else ""),
            )
            for r in rows
        ]
        columns = ("when", "playbook", "entry", "did", "on", "state", "undo, or why")
        show_table(columns, cells, empty="no playbook answered anything")


@app.command("export")
def export(
    file: File,
    out: Annotated[Path | None, typer.Option(help="File to write; default: the screen.")] = None,
) -> None:
    """A playbook as CACAO 2.0 JSON, to be read by others. Needs no controller; nothing here reads
    CACAO.
    """
    with errors():
        text = json.dumps(cacao_of(_read(file)), indent=1)
        if out is None:
            show_text(text)
        else:
            write_public(out, text.encode() + b"\n")
            talk.print(f"{safe(out)}: CACAO 2.0")


def _read(file: Path) -> Playbook:
    try:
        raw = file.read_bytes()[: MAX_BYTES + 1]
        return parse_playbook(raw.decode())
    except OSError as error:
        raise Malformed.of(Reason.USAGE, "a file that can be read", type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise Malformed.of(Reason.PLAYBOOK, "UTF-8", "other bytes") from error


def _named(name: str, context: Path | None) -> pb.PlaybookRow:
    with operator_stub(load_context(context)) as stub:
        rows: dict[str, pb.PlaybookRow] = {
            r.name: r for r in stub.ListPlaybooks(pb.ListRequest()).rows
        }
    if name not in rows:
        hint = "framegate playbook list"
        raise Malformed.of(Reason.NOT_FOUND, "a playbook's name", ascii(name[:40]), hint)
    return rows[name]


def _summary(row: pb.PlaybookRow) -> str:
    return row.note if row.ended else parse_playbook(row.text).summary


def _row(r: pb.PlaybookRow) -> dict[str, Any]:
    return {
        "playbook": r.name,
        "revision": r.revision,
        "mode": r.mode,
        "stopped": r.ended,
        "enabled_by": r.enabled_by,
        "enabled_ms": r.enabled_ms,
        "approvers": list(r.approvers),
        "standing": list(r.standing),
        "quorum": r.quorum,
        "sha256": r.sha256.hex(),
        "note": r.note,
        "text": r.text,
    }


def _run(r: pb.PlaybookRun) -> dict[str, Any]:
    return {
        "entry": r.trigger,
        "at_ms": r.at_ms,
        "event": r.event,
        "about": r.subject,
        "zone": r.zone,
        "would": r.verdict,
        "why": r.why,
        "actions": list(r.actions),
    }


def _step(r: pb.PlaybookStepRow) -> dict[str, Any]:
    return {
        "playbook": r.playbook,
        "revision": r.revision,
        "entry": r.trigger,
        "step": r.number,
        "action": r.action,
        "target": r.target,
        "event": r.event,
        "state": r.state,
        "at_ms": r.at_ms,
        "ended_ms": r.ended_ms,
        "request": r.request,
        "why": r.why,
        "undo": r.undo,
    }
