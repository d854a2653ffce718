"""`framegate audit …`: the append-only log: read it, take it away, verify it with nothing but the
file and a public key.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from framegate.errors import Reason, Refused
from framegate.record.events import events
from framegate.record.following import FollowedHead, LogPosition, follow_witnessed
from framegate.record.verify import (
    FORMAT,
    AuditRefused,
    LogAnchor,
    VerifiedLog,
    load_anchor,
    verify_log,
)
from framegate.record.witness import head_line, parse_head
from framegate.signed.receipt import Checkpoint
from framegate_host.console import EXIT_UNTRUSTED, safe, show_failures, show_json, talk, typed
from framegate_host.printing import show_text
from framegate_host.private_files import replacing_private, write_private, write_public
from framegate_host.program import nearest
from framegate_host.witness_file import last_head, read_heads, write_head
from framegate_operator.audit_proofs import PROOF_FORMAT, proof_json, proved_head, verify_proof
from framegate_operator.audit_rows import TITLES, as_csv, entry_cells
from framegate_operator.behaviour import behaviour, rules
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import device_named
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, ago_ms, errors, show_table
from framegate_operator.record_answers import entries_of, entry_of
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="The audit log: every deny, state change and verb, looks hourly, provable to anybody.",
)
_FIRST_LINE_BYTES = 65_536
"""An export's first line has some hundred; a proof may be one long line."""


@app.command("list")
@read
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 30,
    device: Annotated[str, typer.Option(help="Only of this device's id.")] = "",
    event: Annotated[
        str, typer.Option(help="Only this event: denied, signed-in, quarantine, …")
    ] = "",
    actor: Annotated[
        str, typer.Option(help="Only by this actor: operator.anna, camera.line-1.cam1, …")
    ] = "",
    since: Annotated[str, typer.Option(help="Only of the last 90s, 8h, 7d.")] = "",
    output: Annotated[
        Literal["table", "json", "csv"],
        typer.Option("--output", "-o", help="csv is for spreadsheets."),
    ] = "table",
    context: Context = None,
) -> None:
    """The newest entries: who did what, from where, on whose approval, why, by which policies. -o
    csv for spreadsheets.
    """
    with errors():
        if event and event not in events():
            hint = nearest(event, events()) or "docs/reference/events.md has all of them"
            raise Refused.of(Reason.USAGE, "an event's name", ascii(event[:80]), hint)
        operator = load_context(context)
        request = pb.ReadLogRequest(
            limit=limit,
            device=device_named(operator, device),
            event=event,
            actor=actor,
            newest_first=True,
            since_ms=ago_ms(since) if since else 0,
        )
        with operator_stub(operator) as stub:
            rows = list(entries_of(stub.ReadLog(request, stream=True)))
        if output == "json":
            show_json(rows)
        elif output == "csv":
            show_text(as_csv(rows), end="")
        else:
            asked = any((device, event, actor, since))
            empty = "no entry of what was asked for" if asked else "no entries"
            show_table(TITLES, list(map(entry_cells, rows)), empty=empty)


@app.command("show")
def show(
    index: Annotated[int, typer.Argument(min=0, help="The entry's number.")],
    output: Output = "table",
    context: Context = None,
) -> None:
    """One entry, and the proof that it stands in the log."""
    with errors():
        operator = load_context(context)
        with operator_stub(operator) as stub:
            reply = stub.ProveLog(pb.ProveLogRequest(index=index))
        head = proved_head(reply, LogAnchor(root=operator.root_certificate))
        entry = entry_of(reply.entry)
        if output == "json":
            show_json({"entry": entry, "proof": proof_json(reply)})
            return
        show_table(
            ("", ""),
            [(k, ", ".join(v) if isinstance(v, list) else v) for k, v in entry.items()],
            empty="",
        )
        talk.print(
            f"[green]stands in the log[/] of {head.size} entries, root {head.root[:16]}…, "
            f"signed {ago(head.at_ms)}"
        )


@app.command("prove")
def prove(
    index: Annotated[int, typer.Argument(min=0, help="The entry's number.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Default: standard output. Beside it the fleet's root: FILE.root.pem."),
    ] = None,
    from_size: Annotated[
        int,
        typer.Option(min=0, help="Also prove that the log only grew since it had so many entries."),
    ] = 0,
    context: Context = None,
) -> None:
    """The proof that an entry is in the log (RFC 9162), for somebody else: framegate audit verify
    PROOF --root FILE.
    """
    with errors():
        operator = load_context(context)
        with operator_stub(operator) as stub:
            reply = stub.ProveLog(pb.ProveLogRequest(index=index, from_size=from_size))
        head = proved_head(reply, LogAnchor(root=operator.root_certificate))
        if from_size > head.size:
            hint = "framegate audit witness FILE says whether the log fell back"
            raise Refused.of(Reason.NOT_FOUND, f"a size up to {head.size}", from_size, hint)
        text = json.dumps({"format": PROOF_FORMAT, **proof_json(reply)}, indent=1)
        if out is None:
            show_text(text)
        else:
            write_private(out, text.encode() + b"\n")
            root = _root_beside(out, operator.root)
            talk.print(
                f"{safe(out)}: entry {index}; "
                f"next: framegate audit verify {typed(out)} --root {typed(root)}"
            )


@app.command("export")
def export(
    out: Annotated[
        Path,
        typer.Option(
            help="File to write; beside it the fleet's root certificate as FILE.root.pem."
        ),
    ],
    context: Context = None,
) -> None:
    """Take the whole log away, with its signed heads."""
    with errors():
        operator = load_context(context)
        with operator_stub(operator) as stub:
            head = stub.LogHead(pb.LogHeadRequest(all=True))
            with replacing_private(out) as file:
                file.write(
                    json.dumps(
                        {"format": FORMAT, "fleet": head.fleet, "entries": head.size}
                    ).encode()
                    + b"\n"
                )
                for count, row in enumerate(
                    stub.ReadLog(pb.ReadLogRequest(limit=head.size), stream=True), start=1
                ):
                    file.write(row.entry + b"\n")
                    if count % 20_000 == 0:
                        talk.print(f"{count} of {head.size} entries")
                for envelope in (*head.earlier, head.checkpoint):
                    file.write(head_line(envelope) + b"\n")
        root = _root_beside(out, operator.root)
        talk.print(
            f"{safe(out)}: {head.size} entries, {len(head.earlier) + 1} signed heads; "
            f"next: framegate audit verify {typed(out)} --root {typed(root)}"
        )


def _root_beside(out: Path, root: bytes) -> Path:
    """Where the fleet's root certificate stands now: what was taken away is verified with it."""
    beside = out.with_name(out.name + ".root.pem")
    write_public(beside, root)
    return beside


@app.command("verify")
def verify(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="An export, or a proof of one entry."),
    ],
    root: Annotated[
        Path,
        typer.Option(
            "--root",
            "--key",
            exists=True,
            dir_okay=False,
            help="The fleet's root certificate, or the log's public key (PEM).",
        ),
    ],
    witness: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, dir_okay=False, help="Heads that somebody kept elsewhere; may be repeated."
        ),
    ] = None,
    output: Output = "table",
) -> None:
    """Verify a log, offline: finds any edit, drop, reorder or truncation, and names the first entry
    where it shows. Exit code 6 where one does.
    """
    with errors():
        heads = [head_line(e) for w in witness or () for e in read_heads(w)]
        try:
            anchor = load_anchor(root.read_bytes())
            done, entry = _verified(file, anchor, heads)
        except AuditRefused as error:
            _tell_refused(error, output)
            raise typer.Exit(EXIT_UNTRUSTED) from error
        if done is None:
            show_json({"verified": True, "entry": entry})
        elif output == "json":
            show_json({"verified": True, **asdict(done)})
        else:
            _tell_verified(done, len(heads))


def _verified(
    file: Path, anchor: LogAnchor, heads: list[bytes]
) -> tuple[VerifiedLog | None, dict[str, Any]]:
    """(what holds of an export, or None; the entry of a proof). Raises AuditRefused."""
    with file.open("rb") as raw:
        if FORMAT.encode() in raw.readline(_FIRST_LINE_BYTES):
            raw.seek(0)
            return verify_log(raw, anchor, heads), {}
    return None, verify_proof(file, anchor)


def _tell_refused(error: AuditRefused, output: str) -> None:
    if output == "json":
        entry = error.entry if error.entry >= 0 else None
        show_json({"verified": False, "check": error.check, "entry": entry, "text": str(error)})
        return
    talk.print(f"[red]REFUSED[/] {safe(error)}", soft_wrap=True)
    compare = "framegate audit verify OLDER --root FILE"
    talk.print(f"next: keep this file; compare with an older export or another witness: {compare}")


def _tell_verified(done: VerifiedLog, witnessed: int) -> None:
    signed = f"signed up to entry {done.signed} {ago(done.head_at_ms)}, {done.heads} heads hold"
    whole = f"{done.entries} entries of fleet {safe(done.fleet)}"
    talk.print(f"[green]verified[/]: {whole}, {signed}")
    if done.entries > done.signed:
        rest = f"entries {done.signed} to {done.entries - 1}"
        talk.print(f"[yellow]{rest} are chained, and no head covers them yet[/]")
    if witnessed:
        talk.print(f"{witnessed} witnessed heads, up to entry {done.witnessed}")
    for gap in done.lost:
        talk.print(
            f"[yellow]entries {gap.first} to {gap.last} were lost with a registry, which was "
            f"restored from a backup {ago(gap.restored_at_ms)}: other entries have their numbers[/]"
        )


@app.command("witness")
def witness_(
    file: Annotated[Path, typer.Argument(help="A file of your own that only grows.")],
    output: Output = "table",
    context: Context = None,
) -> None:
    """Keep the log's signed head in a file of your own, after proving that the log only grew since
    the last one there.
    """
    with errors():
        operator = load_context(context)
        anchor = LogAnchor(root=operator.root_certificate)
        kept = last_head(file)
        last = parse_head(kept) if kept else None
        request = pb.ProveLogRequest(
            index=0,
            from_size=last.size if last else 0,
            from_restorations=last.restorations if last else 0,
        )
        with operator_stub(operator) as stub:
            reply = stub.ProveLog(request)
        position = LogPosition(reply.checkpoint, tuple(reply.growth), tuple(reply.restorations))
        try:
            followed = follow_witnessed(kept, position, anchor)
        except Refused as error:
            show_failures(error.failures)
            raise typer.Exit(EXIT_UNTRUSTED) from error
        write_head(file, reply.checkpoint)
        _tell_followed(file, followed, last, output)


def _tell_followed(
    file: Path, followed: FollowedHead, last: Checkpoint | None, output: str
) -> None:
    head, lost = followed.head, followed.lost
    if output == "json":
        show_json(
            {
                "size": head.size,
                "root": head.root,
                "at_ms": head.at_ms,
                "grew_from": last.size if last else 0,
                "restorations": head.restorations,
                "lost": [lost.first, lost.last] if lost else None,
            }
        )
        return
    talk.print(
        f"{safe(file)}: {head.size} entries{f', grown from {last.size}' if last else ''}, "
        f"root {head.root[:16]}…"
    )
    for restoration in followed.restored:
        talk.print(
            f"[yellow]restored from a backup {ago(restoration.at_ms)}: of {restoration.seen} "
            f"entries {restoration.kept} were left[/]"
        )
    if lost:
        talk.print(
            f"[yellow]entries {lost.first} to {lost.last} that {safe(file)} witnessed were lost: "
            "framegate audit list --event registry-restored[/]"
        )


app.command("rules")(rules)
app.command("behaviour")(behaviour)
