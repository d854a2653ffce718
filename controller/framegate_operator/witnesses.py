"""`framegate witness …`: be a witness of logs of decisions, and see how a fleet's own stand."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Malformed, Reason, Refused
from framegate.transparency.note import parse_note_key
from framegate_host.console import safe, show_json, talk, typed
from framegate_host.logs import start_logging, started
from framegate_host.printing import show_text
from framegate_host.ready_file import write_ready
from framegate_host.signals import STOP_SIGNALS
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, errors, show_table
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Witnesses of the log of decisions: run one, on a host that is not the fleet's.",
)
DEFAULT_PORT = 7480
State = Annotated[Path, typer.Option("--state", help="The witness's folder.")]


@app.command("init")
def init(
    name: Annotated[
        str, typer.Option(help="What it is called, a host and perhaps a path: witness.example.net.")
    ],
    state: State,
) -> None:
    """Make a witness's key, and print what it is known by: gateways and cameras pin that."""
    from framegate_witness.state import make_witness  # noqa: PLC0415 - where a witness is run

    with errors():
        show_text(make_witness(state, name).text)
        talk.print(f"next: framegate witness watch KEY --state {typed(state)}")


@app.command("watch")
def watch(
    key: Annotated[str, typer.Argument(help="A log's key, as framegate log key prints it.")],
    state: State,
) -> None:
    """Cosign heads of one log more, from the next start on. Two fleets' logs are two keys."""
    from framegate_witness.state import watch_log  # noqa: PLC0415 - where a witness is run

    with errors():
        known = parse_note_key(key)
        new = watch_log(state, known)
        talk.print(
            f"{safe(known.name)} is {'watched from the next start on' if new else 'watched'}"
        )
        talk.print(f"next: framegate witness run --state {typed(state)}")


@app.command("show")
def show(state: State, output: Output = "table") -> None:
    """This witness's key, the logs that it watches, and the last head of each that it cosigned."""
    from framegate_witness.state import shown  # noqa: PLC0415 - where a witness is run

    with errors():
        known, watched = shown(state)
        rows: list[dict[str, Any]] = [
            {
                "log": w.key.name,
                "key": w.key.text,
                "decisions": w.head.size if w.head else None,
                "root": w.head.root.hex() if w.head else None,
                "at_s": w.at_s,
            }
            for w in watched
        ]
        if output == "json":
            show_json({"key": known.text, "logs": rows})
            return
        show_text(known.text)
        cells = [
            (r["log"], r["decisions"] or "none yet", (r["root"] or "")[:16], _when(r["at_s"]))
            for r in rows
        ]
        show_table(("log", "decisions", "root", "cosigned"), cells, empty="watches no log")


@app.command("run")
def run(
    state: State,
    listen: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one.")] = DEFAULT_PORT,
    also: Annotated[
        Path | None,
        typer.Option(
            help="A file on another disk that gets every head too: an old copy of the folder is "
            "then told, and not run."
        ),
    ] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once it serves.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what goes on.")] = False,
) -> None:
    """Cosign heads over HTTP (c2sp.org/tlog-witness) until stopped: each that its log signed and
    that goes on from the last one. The head is on the disk before the cosignature leaves.
    """
    from framegate_witness.service import WitnessServer  # noqa: PLC0415 - where it is run
    from framegate_witness.state import WitnessState  # noqa: PLC0415 - where it is run

    with errors():
        start_logging(verbose=verbose)
        witness = WitnessState(state, also)
        try:
            if not witness.origins:
                hint = f"framegate witness watch KEY --state {typed(state)}"
                raise Refused.of(Reason.USAGE, "a log to watch", "none", hint)
            server = WitnessServer((listen, port), witness)
            _serve(server, ready_file)
        finally:
            witness.close()


@app.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """How the fleet's witnesses stand: what each cosigned last, and why one fails."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.ReadDecisions(pb.ReadDecisionsRequest(first=2**62))
        rows = [_row(w) for w in reply.witnesses]
        if output == "json":
            show_json(rows)
            return
        cells = [
            (r["witness"], r["decisions"], _ago(r["at_ms"]), safe(r["error"]) or "cosigns")
            for r in rows
        ]
        empty = "no witness: framegate-controller run --cosigner KEY@URL"
        show_table(("witness", "decisions", "cosigned", "now"), cells, empty=empty)


def _serve(server: Any, ready_file: Path | None) -> None:
    ended = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: ended.set())
    host, port = server.server_address[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origins = ", ".join(server.state.origins)
    started.info("%s cosigns %s at %s", server.state.name, origins, address)
    if ready_file is not None:
        write_ready(ready_file, {"address": address, "key": server.state.key.text})
    ended.wait()
    server.shutdown()
    server.server_close()


def _row(witness: pb.WitnessRow) -> dict[str, Any]:
    try:
        name = parse_note_key(witness.key).name
    except Malformed:
        name = witness.key[:60]
    return {
        "witness": name,
        "key": witness.key,
        "log": witness.origin,
        "decisions": witness.size,
        "at_ms": witness.at_ms,
        "failing_ms": witness.failing_ms,
        "error": witness.error,
    }


def _ago(at_ms: int) -> str:
    return ago(at_ms) if at_ms else "never"


def _when(at_s: int) -> str:
    return _ago(at_s * 1000)
