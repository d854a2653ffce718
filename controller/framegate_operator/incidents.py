"""`framegate incident …`: what was found that somebody has to look into, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from framegate.record.event import Severity
from framegate.record.incident_events import IncidentVerdict
from framegate.record.incident_export import incident_finding, page, timeline
from framegate_host.console import safe, show_json, talk
from framegate_host.printing import show_text
from framegate_host.private_files import write_private
from framegate_operator.answers import CONTROLLER, reading
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import Name
from framegate_operator.options import WRITE, Context, Output, read, write
from framegate_operator.output import ago, data, errors, seconds_of, show_table, until
from framegate_operator.record_answers import entry_of
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Incidents: what was found, in one timeline; note, assign and close.",
)
Number = Annotated[int, typer.Argument(min=0, help="The incident's number.")]
Form = Literal["table", "json", "ocsf", "page"]


@app.command("list")
@read
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 50,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Open incidents, the newest first."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            request = pb.ListIncidentsRequest(all=everything, limit=limit)
            rows = stub.ListIncidents(request).incidents
        if output == "json":
            show_json([_json(row) for row in rows])
            return
        cells = [
            (
                row.incident,
                ago(row.opened_ms),
                _urgency(row),
                row.title,
                row.about,
                row.findings,
                row.verdict or row.state,
                row.assignee,
            )
            for row in rows
        ]
        titles = ("incident", "opened", "urgency", "what", "about", "findings", "state", "who")
        show_table(titles, cells, empty="no incident" if everything else "no open incident")


@app.command()
@read
def show(
    incident: Number,
    output: Annotated[
        Form,
        typer.Option("--output", "-o", help="ocsf: an Incident Finding; page: HTML."),
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.")
    ] = None,
    context: Context = None,
) -> None:
    """One incident and its timeline."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.ShowIncident(pb.IncidentRequest(incident=incident))
        entries = [entry_of(e) for e in reply.entries]
        if output == "table" and out is None:
            _tell(reply.incident, entries)
            return
        text = _text(output, reply, entries)
        if out is None:
            show_text(text, end="")
            return
        write_private(out, text.encode())
        talk.print(f"{safe(out)}: incident {incident}, {len(entries)} entries of the record")


@app.command()
@write
def note(
    incident: Number,
    text: Annotated[str, typer.Argument(help="What is known. It stands in the record for good.")],
    context: Context = None,
) -> None:
    """Write something down about an incident, an open or a closed one."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.NoteIncident(pb.NoteIncidentRequest(incident=incident, note=text))
        _told(reply.incident, "noted")


@app.command()
@write
def assign(
    incident: Number,
    operator: Annotated[str, typer.Argument(help="Who looks into it.")],
    context: Context = None,
) -> None:
    """Make an open incident somebody's to look into."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            request = pb.AssignIncidentRequest(incident=incident, assignee=operator)
            reply = stub.AssignIncident(request)
        _told(reply.incident, f"is {reply.incident.assignee}'s")


@app.command()
@write
def close(
    incident: Number,
    verdict: Annotated[IncidentVerdict, typer.Option(help="What it came to.")],
    text: Annotated[str, typer.Option("--note", help="Why; stands in the record for good.")],
    context: Context = None,
) -> None:
    """Say what an incident came to, and close it. What is found later is another one."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            request = pb.CloseIncidentRequest(incident=incident, verdict=verdict, note=text)
            reply = stub.CloseIncident(request)
        _told(reply.incident, f"closed, {reply.incident.verdict}")


@app.command()
@write
def drill(
    name: Name,
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h; 0s ends it.")] = "30m",
    context: Context = None,
) -> None:
    """Count what is found about a machine as a drill for a while. It is answered all the same."""
    with errors():
        minutes = int(-(-seconds_of(for_) // 60))
        with operator_stub(load_context(context)) as stub:
            reply = stub.DeclareDrill(
                pb.DeclareDrillRequest(device=name, minutes=minutes, reason=WRITE.get().reason)
            )
        lasts = until(reply.until_ms) if reply.until_ms else "over"
        talk.print(f"{safe(reply.device)}: drill, {lasts}")


def _told(row: pb.IncidentRow, what: str) -> None:
    talk.print(f"incident {row.incident}, {safe(row.title)} about {safe(row.about)}: {safe(what)}")


def _tell(row: pb.IncidentRow, entries: list[dict[str, Any]]) -> None:
    drill = ", a drill" if row.drill else ""
    who = f", {row.assignee}'s" if row.assignee else ""
    state = f"closed, {row.verdict}" if row.verdict else row.state
    head = f"{row.title} about {row.about}{drill}"
    data.print(f"[bold]incident {row.incident}[/]: {safe(head)}", soft_wrap=True)
    data.print(safe(f"{state}{who}; urgency {_urgency(row)}; opened {ago(row.opened_ms)}"))
    cells = [(line.at, line.index, line.actor, line.what, line.words) for line in timeline(entries)]
    show_table(("when (UTC)", "entry", "by", "what", ""), cells, empty="")
    if not row.closed_ms:
        talk.print(
            f"next: framegate incident assign {row.incident} NAME; note {row.incident} TEXT;"
            f" close {row.incident} --verdict VERDICT --note TEXT",
            soft_wrap=True,
        )


def _text(output: Form, reply: pb.IncidentReply, entries: list[dict[str, Any]]) -> str:
    if output == "page":
        return page(entries, reply.fleet)
    if output == "ocsf":
        return json.dumps(incident_finding(entries, reply.fleet), indent=1) + "\n"
    return json.dumps({**_json(reply.incident), "entries": entries}, indent=1) + "\n"


def _urgency(row: pb.IncidentRow) -> str:
    with reading("how urgent an incident is", CONTROLLER):
        return Severity(row.severity).name.lower()


def _json(row: pb.IncidentRow) -> dict[str, Any]:
    return {
        "incident": row.incident,
        "about": row.about,
        "title": row.title,
        "urgency": _urgency(row),
        "state": row.state,
        "assignee": row.assignee,
        "verdict": row.verdict,
        "drill": row.drill,
        "opened_ms": row.opened_ms,
        "closed_ms": row.closed_ms,
        "findings": row.findings,
    }
