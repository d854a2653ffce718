"""framegate-line: run the adapter of a line, look at its ledger."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from framegate.errors import Reason, Refused
from framegate_host import console
from framegate_host.console import service_exit_code, talk
from framegate_host.logs import start_logging
from framegate_host.signals import run_service, until_stopped
from framegate_line.adapter import Adapter, PartSource, parse_trigger
from framegate_line.broker import LineBroker
from framegate_line.credentials import load_credentials
from framegate_line.ledger import NOT_TAKEN, Ledger
from framegate_line.outputs import FileOutput, ModbusOutput, MqttOutput, Output
from framegate_line.rules import Rules, Trigger

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The line adapter: a part passes only by a verified PASS that comes in time. Not a safety function.")
Config = Annotated[Path | None, typer.Option("--config", envvar="FRAMEGATE_LINE_CONFIG", help="TOML with the same names as the options, - as _.")]
LedgerPath = Annotated[Path, typer.Option("--ledger", envvar="FRAMEGATE_LINE_LEDGER", help="The part ledger.")]
DEFAULT_LEDGER = Path("/var/lib/framegate-line/ledger.db")
_SETTINGS = {
    "line": str, "camera": list, "deadline_ms": int, "hold_ms": int, "stop_after": int, "credentials": str, "broker": str, "broker_name": str, "ledger": str,
    "triggers": str, "output": list,
}  # fmt: skip


def _errors() -> AbstractContextManager[None]:
    return console.errors(service_exit_code(Reason.USAGE))


class Standard:
    """Triggers as lines of JSON on standard input: for a bridge that runs the adapter itself, and for tests."""

    async def triggers(self) -> AsyncIterator[tuple[Trigger, Callable[[], None]]]:
        """See `PartSource`."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            yield parse_trigger(line), lambda: None


@app.command()
def run(
    config: Config = None,
    line: Annotated[str, typer.Option(envvar="FRAMEGATE_LINE", help="Name of the line, as in its certificate.")] = "",
    camera: Annotated[list[str] | None, typer.Option(help="Id of a camera that sees every part; a part passes only if all of them say PASS.")] = None,
    deadline_ms: Annotated[int | None, typer.Option(help="From trigger to decision; default 2000.")] = None,
    hold_ms: Annotated[int | None, typer.Option(help="How long after its deadline a part may be on its way to the diverter; default 10000.")] = None,
    stop_after: Annotated[int | None, typer.Option(help="UNINSPECTED parts in a row that ask for a line stop; default 3.")] = None,
    credentials: Annotated[Path | None, typer.Option(help="Folder that framegate-controller line-certificate wrote.")] = None,
    broker: Annotated[str, typer.Option(help="MQTT broker, host:port.")] = "",
    broker_name: Annotated[str, typer.Option(help="The broker's certificate name, broker.<fleet>.framegate.")] = "",
    ledger: Annotated[Path | None, typer.Option("--ledger", envvar="FRAMEGATE_LINE_LEDGER", help="The part ledger; default /var/lib/framegate-line/ledger.db")] = None,
    triggers: Annotated[str, typer.Option(help="mqtt, or - for lines of JSON on standard input; default mqtt.")] = "",
    output: Annotated[list[str] | None, typer.Option(help="mqtt, modbus:HOST:PORT or file:PATH; may be repeated; default mqtt.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:  # fmt: skip
    """Run the adapter of one line."""
    start_logging(verbose=verbose, least={"pymodbus": logging.CRITICAL})
    with _errors():
        flags = {
            "line": line, "camera": camera, "deadline_ms": deadline_ms, "hold_ms": hold_ms, "stop_after": stop_after, "credentials": credentials, "broker": broker,
            "broker_name": broker_name, "ledger": ledger, "triggers": triggers, "output": output,
        }  # fmt: skip
        s = {
            "deadline_ms": 2000,
            "hold_ms": 10_000,
            "stop_after": 3,
            "ledger": DEFAULT_LEDGER,
            "triggers": "mqtt",
            "output": ["mqtt"],
            **_file(config),
            **{k: v for k, v in flags.items() if v},
        }
        for needed in ("line", "camera", "credentials", "broker", "broker_name"):
            if not s.get(needed):
                raise Refused.of(Reason.USAGE, f"--{needed.replace('_', '-')}, or {needed} in the configuration", "none")
        cameras = tuple(s["camera"])
        zones = {c.split(".")[1] if c.count(".") == 2 else "" for c in cameras}
        rules = Rules(s["line"], zones.pop() if len(zones) == 1 else "", cameras, s["deadline_ms"], s["stop_after"], s["hold_ms"])
        held = load_credentials(Path(s["credentials"]), rules.line)

        async def main() -> None:
            book = Ledger(Path(s["ledger"]), rules.line)
            outputs: list[Output] = []
            adapter = Adapter(rules, book, held, outputs)
            link = LineBroker(rules, held, s["broker"], s["broker_name"], adapter.verdict, triggers=s["triggers"] == "mqtt")
            outputs += [_output(text, rules.line, link) for text in s["output"]]
            source: PartSource = link if s["triggers"] == "mqtt" else Standard()
            link.start()
            talk.print(f"line {rules.line}: {len(cameras)} cameras, {rules.deadline_ms} ms a part, stop after {rules.stop_after}")
            try:
                await until_stopped(adapter.run(source))
            finally:
                for one in outputs:
                    await one.close()
                link.stop()
                book.close()

        run_service(main())


@app.command()
def status(
    line: Annotated[str, typer.Option(envvar="FRAMEGATE_LINE")], ledger: LedgerPath = DEFAULT_LEDGER, output: Annotated[str, typer.Option("--output", "-o")] = "table"
) -> None:
    """How many parts came in and what became of them."""
    with _errors():
        book = Ledger(ledger, line, reading=True)
        outcomes, reasons, waiting, late = book.counts()
        book.close()
        if output == "json":
            print(json.dumps({"line": line, "parts": sum(outcomes.values()) + waiting, "outcomes": outcomes, "uninspected": reasons, "open": waiting, "late_verdicts": late}))
            return
        table = Table("", "parts", box=None)
        for name, count in (("in", sum(outcomes.values()) + waiting), *outcomes.items(), ("open", waiting)):
            table.add_row(escape(name), str(count))
        for reason, count in reasons.items():
            table.add_row(f"  UNINSPECTED({escape(reason)})", str(count))
        table.add_row("verdicts too late", str(late))
        Console(highlight=False).print(table)


@app.command()
def parts(
    line: Annotated[str, typer.Option(envvar="FRAMEGATE_LINE")], ledger: LedgerPath = DEFAULT_LEDGER, limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    output: Annotated[str, typer.Option("--output", "-o")] = "table",
) -> None:  # fmt: skip
    """The latest parts, newest first."""
    with _errors():
        book = Ledger(ledger, line, reading=True)
        rows = book.latest(limit)
        book.close()
        if output == "json":
            print(json.dumps([{
                "part": r.key.part, "trigger_sequence": r.key.sequence, "part_type": r.part_type, "opened_ms": r.opened_ms, "outcome": r.outcome, "reason": r.reason,
                "decided_ms": r.decided_ms, "handed_over": r.emitted,
            } for r in rows]))  # fmt: skip
            return
        table = Table("trigger", "part", "outcome", "reason", "ms", "age", "", box=None)
        style = {"PASS": "green", "DEFECT": "red", "UNINSPECTED": "yellow"}
        for r in rows:
            took, age = str(r.decided_ms - r.opened_ms) if r.decided_ms else "", f"{max(0, int(time.time() - r.opened_ms / 1000))} s"
            note = "not taken: diverted" if r.emitted == NOT_TAKEN else ""
            part = escape("".join(c if c.isprintable() else "?" for c in r.key.part))
            table.add_row(str(r.key.sequence), part, f"[{style.get(r.outcome, 'white')}]{r.outcome or 'open'}[/]", escape(r.reason), took, age, note)
        Console(highlight=False).print(table)


def _file(path: Path | None) -> dict[str, Any]:
    """Settings of a configuration file; unknown names are errors."""
    if path is None:
        return {}
    try:
        body = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused.of(Reason.USAGE, f"TOML in {path}", error) from error
    for name, value in body.items():
        if name not in _SETTINGS or type(value) is not _SETTINGS[name]:
            raise Refused.of(Reason.USAGE, f"one of {', '.join(_SETTINGS)} of its type", f"{name!a} = {ascii(value)[:40]} in {path}")
    return body


def _output(text: str, line: str, link: LineBroker) -> Output:
    kind, _, rest = text.partition(":")
    if kind == "mqtt" and not rest:
        return MqttOutput(line, link.publish)
    host, _, port = rest.rpartition(":")
    if kind == "modbus" and host and port.isdigit():
        return ModbusOutput(host, int(port))
    if kind == "file" and rest:
        return FileOutput(Path(rest))
    raise Refused.of(Reason.USAGE, "--output mqtt, modbus:HOST:PORT or file:PATH", ascii(text[:80]))


def run_app() -> None:
    """Entry point."""
    app(prog_name="framegate-line")
