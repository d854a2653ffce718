"""`framegate siem …`: where the record is sent, how far each sink is, and whether a SIEM's copy is
whole.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Reason, Unavailable
from framegate.registry.sink import SinkKind
from framegate_host.console import safe, show_json, talk, typed
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, errors, seconds_of, show_table
from framegate_operator.siem_verify import one_of, verify
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="SIEMs and other sinks that get every entry of the record, in OCSF.",
)
app.command("verify")(verify)
SinkName = Annotated[str, typer.Argument(help="The sink's name.")]
LOOK_S: Final = 0.2
FOLDER: Final = "sinks/{}/ in the controller's folder: ca.pem, client.pem, token"


@app.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """Sinks: what they speak, where they are, what their confirmation is worth."""
    with errors():
        rows = _sinks(context).sinks
        if output == "json":
            show_json([_sink(s) for s in rows])
            return
        show_table(
            ("sink", "kind", "address", "topic, index", "OCSF", "confirmed means"),
            [(s.name, s.kind, s.address, s.channel, s.ocsf, s.confirms) for s in rows],
            empty="no sink yet: framegate siem add NAME --kind KIND --address ADDRESS",
        )


@app.command("status")
@read
def status(output: Output = "table", context: Context = None) -> None:
    """How far each sink is, and what is wrong. Exit code 0 although one fails."""
    with errors():
        reply = _sinks(context)
        if output == "json":
            show_json([{**_sink(s), "waiting": _waiting(s, reply.size)} for s in reply.sinks])
            return
        cells = [
            (
                s.name,
                "fails" if s.failing_ms else "ok",
                s.confirmed,
                _waiting(s, reply.size),
                ago(s.confirmed_ms),
                s.dead or "",
                f"{ago(s.failing_ms).removesuffix(' ago')}, {s.failures}×: {s.error}"
                if s.failing_ms
                else "",
            )
            for s in reply.sinks
        ]
        titles = ("sink", "", "confirmed", "waiting", "last", "dead letters", "failing for")
        show_table(titles, cells, empty="no sink yet: framegate siem add NAME --kind KIND")


@app.command("add")
@write
def add(  # noqa: PLR0913 - a command's options
    name: SinkName,
    kind: Annotated[SinkKind, typer.Option(help="What it speaks.")],
    address: Annotated[
        str, typer.Option(help="https:// address, or host:port; file and stdout have none.")
    ] = "",
    channel: Annotated[
        str, typer.Option(help="Kafka or MQTT topic, Splunk or Elastic index.")
    ] = "",
    ocsf: Annotated[str, typer.Option(help="1.8.0, or 1.9.0 with record_integrity.")] = "1.8.0",
    from_now: Annotated[
        bool, typer.Option("--from-now", help="Leave out what the record has already.")
    ] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Send the record to one place more. Its credentials lie on the controller's host, in a folder
    of the sink's name.
    """
    with errors():
        request = pb.AddSinkRequest(
            name=name, kind=kind, address=address, channel=channel, ocsf=ocsf, from_now=from_now
        )
        with operator_stub(load_context(context)) as stub:
            row = stub.AddSink(request)
        if output == "json":
            show_json(_sink(row))
            return
        confirms = safe(row.confirms)
        talk.print(f"{safe(row.name)}: entries from {row.first} on; confirmed: {confirms}")
        talk.print(f"credentials, if it wants some: {FOLDER.format(safe(row.name))}")
        talk.print(f"next: framegate siem test {typed(row.name)}")


@app.command("remove")
@write
def remove(name: SinkName, output: Output = "table", context: Context = None) -> None:
    """Send the record there no more."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.RemoveSink(pb.SinkRequest(name=name))
        if output == "json":
            show_json(_sink(row))
        else:
            talk.print(f"{safe(row.name)}: it had confirmed the entries below {row.confirmed}")


@app.command("test")
def test(
    name: SinkName,
    within: Annotated[str, typer.Option(help="How long to wait: 10s, 2m.")] = "30s",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Record an entry, and wait until the sink has confirmed it: the way that every entry goes."""
    with errors():
        operator, limit = load_context(context), seconds_of(within)
        with operator_stub(operator) as stub:
            index, begun = stub.TestSink(pb.SinkRequest(name=name)).index, time.monotonic()
            while True:
                row = one_of(stub.ListSinks(pb.ListRequest()).sinks, name)
                took = time.monotonic() - begun
                if row.confirmed > index:
                    break
                if took > limit:
                    wanted = f"entry {index} confirmed by {name} within {within}"
                    came = row.error or f"it is at entry {row.confirmed}"
                    raise Unavailable.of(Reason.UNAVAILABLE, wanted, came, "framegate siem status")
                time.sleep(LOOK_S)
        if output == "json":
            show_json({"sink": name, "entry": index, "seconds": round(took, 2)})
            return
        talk.print(f"[green]confirmed[/]: entry {index} by {safe(name)} after {took:.1f} s")
        talk.print(f"that means: {row.confirms}")


def _sinks(context: Path | None) -> pb.SinksReply:
    with operator_stub(load_context(context)) as stub:
        reply: pb.SinksReply = stub.ListSinks(pb.ListRequest())
    return reply


def _waiting(row: pb.SinkRow, size: int) -> int:
    return max(0, size - row.confirmed)


def _sink(s: pb.SinkRow) -> dict[str, Any]:
    return {
        "sink": s.name,
        "kind": s.kind,
        "address": s.address,
        "channel": s.channel,
        "ocsf": s.ocsf,
        "first": s.first,
        "confirmed": s.confirmed,
        "confirmed_ms": s.confirmed_ms,
        "failing_ms": s.failing_ms,
        "failures": s.failures,
        "error": s.error,
        "dead_letters": s.dead,
        "confirms": s.confirms,
        "by": s.by,
        "added_ms": s.added_ms,
    }
