"""framegate-line: run the adapter of a line, look at its ledger."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from framegate.errors import Reason
from framegate.signed.line_state import STATE_TOPIC
from framegate_host import console
from framegate_host.certificate_end import tell_end
from framegate_host.console import OutputFormat, Terminal, safe, service_exit_code, whole
from framegate_host.logs import start_logging, started
from framegate_host.printing import show_text
from framegate_host.program import run_program
from framegate_host.report_store import ReportStore
from framegate_host.rereading import Rereader
from framegate_host.service_manager import service_manager
from framegate_host.setting_commands import config_commands
from framegate_host.setting_flags import with_settings
from framegate_host.signals import run_service, until_stopped
from framegate_host.support import support_command
from framegate_host.telemetry.listener import Watched, watching
from framegate_host.watchdog import watched_over
from framegate_line.adapter import Adapter
from framegate_line.broker import LineBroker
from framegate_line.credentials import Credentials, load_credentials
from framegate_line.draining import drained
from framegate_line.ledger import NOT_TAKEN, UNDIVERTED, Ledger
from framegate_line.ledger_rows import PartRow
from framegate_line.metrics import LineMetrics
from framegate_line.outputs import FileOutput, ModbusOutput, MqttOutput, Output
from framegate_line.reach import (
    Peer,
    Reach,
    ReachedOutput,
    follow_broker,
    reach_file,
    read_reach,
)
from framegate_line.reports import LineReports
from framegate_line.rules import Trigger
from framegate_line.settings import MQTT, LineSettings
from framegate_line.stage_view import KeptStage, StageView, read_kept_stage, stage_file
from framegate_line.triggers import PartSource, parse_trigger

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=(
        "The line adapter: a part passes only by a verified PASS that comes in time. "
        "Not a safety function."
    ),
)
app.add_typer(config_commands(LineSettings), name="config")
app.command("support")(support_command(LineSettings))
OutputOption = OutputFormat
_FATES: Final = MappingProxyType({NOT_TAKEN: "not taken: diverted", UNDIVERTED: "went on: pilot"})
_STYLES: Final = MappingProxyType({"PASS": "green", "DEFECT": "red", "UNINSPECTED": "yellow"})


def _errors() -> AbstractContextManager[None]:
    return console.errors(service_exit_code(Reason.USAGE))


class Standard:
    """Triggers as lines of JSON on standard input: for a bridge that runs the adapter itself."""

    async def triggers(self) -> AsyncIterator[tuple[Trigger, Callable[[], None]]]:
        """See `PartSource`."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            yield parse_trigger(line), lambda: None


@app.command()
@with_settings(LineSettings)
def run(settings: LineSettings, reader: Rereader) -> None:
    """Run the adapter of one line."""
    start_logging(verbose=settings.verbose, least={"pymodbus": logging.CRITICAL})
    with _errors():
        credentials = load_credentials(settings.credentials, settings.line)
        run_service(_serve(settings, credentials, reader))


async def _serve(settings: LineSettings, credentials: Credentials, reader: Rereader) -> None:
    rules, by_broker = settings.rules, settings.triggers == MQTT
    book = Ledger(settings.ledger, rules.line)
    outputs: list[Output] = []
    store = ReportStore(settings.ledger.parent / f"reports-{rules.line}")
    reports = LineReports(rules.line, store, credentials, lambda: time.time_ns() // 1_000_000)
    state_topic = STATE_TOPIC.format(line=rules.line)
    adapter = Adapter(
        rules,
        book,
        credentials,
        outputs,
        retention=settings.retention,
        tell_state=lambda envelope: link.publish(state_topic, envelope),
    )
    stages = StageView(stage_file(settings.ledger), rules.zone, credentials, adapter.now_ms)
    adapter.report, adapter.stage = reports.saw, lambda: stages.stage
    address, name = settings.broker, settings.broker_name
    link = LineBroker(
        rules,
        credentials,
        address,
        name,
        adapter.verdict,
        triggers=by_broker,
        taken=reports.taken,
    )
    link.stage = stages.take
    reach, broker = Reach(reach_file(settings.ledger)), f"broker {settings.broker}"
    for text in settings.output:
        output = _output(text, rules.line, link)
        outputs.append(output if text == MQTT else ReachedOutput(output, _place(text), reach))
    source: PartSource = link if by_broker else Standard()
    started.info(
        "line %s: %d cameras, %d ms a part, stop after %d; decisions go to %s",
        rules.line,
        len(rules.cameras),
        rules.deadline_ms,
        rules.stop_after,
        ", ".join(map(_place, settings.output)),
    )
    try:
        shown = LineMetrics(adapter=adapter, reach=reach, quota=settings.retention.quota)
        watched = Watched("line", shown.exposition, shown.checks, shown.read)
        manager = service_manager()
        async with (
            watching(settings.metrics, settings.metrics_tls, watched),
            watched_over(manager, lambda: (adapter.promise,)),
        ):
            beside = _both(
                follow_broker(link, broker, reach),
                reports.run(link.publish, lambda: link.connected),
                tell_end(credentials.brought),
                link.watch_certificate(reports.broker),
            )
            manager.ready(f"line {rules.line}, {len(rules.cameras)} cameras")
            await until_stopped(
                _while(beside, link.start(), adapter.run(source)),
                manager=manager,
                drain=lambda: drained(adapter),
                reload=reader.read_again,
            )
    finally:
        for one in outputs:
            await one.close()
        link.stop()
        book.close()
        reports.close()


async def _while(beside: Coroutine[Any, Any, None], *work: Coroutine[Any, Any, None]) -> None:
    """Until all `work` is done, or any of it fails; `beside` goes on as long."""
    async with asyncio.TaskGroup() as group:
        followed = group.create_task(beside)
        tasks = [group.create_task(each) for each in work]
        await asyncio.wait(tasks)
        followed.cancel()


async def _both(*work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)


def _place(output: str) -> str:
    """An output as people call it."""
    kind, _, rest = output.partition(":")
    return {"modbus": f"PLC {rest}", "file": f"file {rest}"}.get(kind, "the broker")


@app.command()
@with_settings(LineSettings)
def status(
    line: str,
    ledger: Path,
    ledger_quota: int,
    output: OutputOption = "table",
) -> None:
    """How many parts came in and what became of them; how full the ledger is."""
    with _errors():
        book = Ledger(ledger, line, reading=True)
        counts, fill, undiverted = book.counts(), book.fill(), book.undiverted()
        book.close()
        reached = read_reach(reach_file(ledger), time.time())
        kept = read_kept_stage(stage_file(ledger), time.time_ns() // 1_000_000)
        count = sum(counts.outcomes.values()) + counts.waiting
        used, quota = fill.used, ledger_quota * 2**20
        if output == "json":
            body = {
                "line": line,
                "parts": count,
                "outcomes": counts.outcomes,
                "uninspected": counts.reasons,
                "open": counts.waiting,
                "late_verdicts": counts.late,
                "pruned": counts.pruned,
                "ledger": {"bytes": used, "quota": quota, "oldest_ms": fill.oldest_ms},
                "stage": kept.stage.value if kept is not None else "enforce",
                "undiverted": undiverted,
                "running": reached is not None,
                "answers": {name: asdict(peer) for name, peer in (reached or {}).items()},
            }
            show_text(json.dumps(body))
            return
        table = Table("", "parts", box=None)
        rows = {"in": count, **counts.outcomes, "open": counts.waiting}
        for name, number in rows.items():
            table.add_row(safe(name), str(number))
        for reason, number in counts.reasons.items():
            table.add_row(f"  UNINSPECTED({safe(reason)})", str(number))
        if undiverted:
            table.add_row("would be diverted, went on (pilot)", str(undiverted))
        table.add_row("verdicts too late", str(counts.late))
        table.add_row("counted only, no longer listed", str(counts.pruned))
        table.add_row("ledger", f"{used / 2**20:.1f} of {ledger_quota} MiB")
        Terminal(highlight=False).print(whole(table))
        for told in (*_stage_lines(kept), *_reached_lines(reached)):
            Terminal(highlight=False, soft_wrap=True).print(told)


def _stage_lines(kept: KeptStage | None) -> Iterator[str]:
    """That nothing is diverted, where that is so: before anything else that is said."""
    if kept is not None:
        left = max(0, int(kept.valid_until_ms / 1000 - time.time()))
        yield (
            f"[bold red]THIS LINE DIVERTS NOTHING[/]: its zone is piloted ({safe(kept.stage)}), by "
            f"{safe(kept.policy)}; enforced in {left} s unless the controller says so again"
        )


def _reached_lines(reached: Mapping[str, Peer] | None) -> Iterator[str]:
    """Who answers the adapter, for people."""
    if reached is None:
        yield "[yellow]the adapter does not run[/], or not with this ledger: framegate-line run"
        return
    if not reached:
        yield "the adapter runs, and has not tried its broker and outputs so far"
    for name, peer in sorted(reached.items()):
        age = f"{max(0, int(time.time() - peer.since))} s"
        if peer.answers:
            yield f"{safe(name)} [green]answers[/], for {age}"
        else:
            yield f"{safe(name)} [red]does not answer[/], for {age}: {safe(peer.problem)}"


@app.command()
@with_settings(LineSettings)
def parts(
    line: str,
    ledger: Path,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many parts.")] = 20,
    output: OutputOption = "table",
) -> None:
    """The latest parts, newest first."""
    with _errors():
        book = Ledger(ledger, line, reading=True)
        rows = book.latest(limit)
        book.close()
        if output == "json":
            show_text(json.dumps([_part_body(row) for row in rows]))
            return
        table = Table("trigger", "part", "outcome", "reason", "ms", "age", "", box=None)
        for row in rows:
            table.add_row(*_part_cells(row))
        Terminal(highlight=False).print(whole(table))


def _part_body(row: PartRow) -> dict[str, object]:
    """A part as JSON has it."""
    return {
        "part": row.key.part,
        "trigger_sequence": row.key.sequence,
        "part_type": row.key.part_type,
        "opened_ms": row.opened_ms,
        "outcome": row.outcome,
        "reason": row.reason,
        "decided_ms": row.decided_ms,
        "handed_over": row.emitted,
    }


def _part_cells(row: PartRow) -> Iterator[str]:
    """A part for people."""
    yield str(row.key.sequence)
    yield safe(row.key.part)
    yield f"[{_STYLES.get(row.outcome, 'white')}]{safe(row.outcome or 'open')}[/]"
    yield safe(row.reason)
    yield str(row.decided_ms - row.opened_ms) if row.decided_ms else ""
    yield f"{max(0, int(time.time() - row.opened_ms / 1000))} s"
    yield _FATES.get(row.emitted, "")


def _output(text: str, line: str, link: LineBroker) -> Output:
    """The output that `text`, of a form that the settings checked, names."""
    kind, _, rest = text.partition(":")
    if kind == "modbus":
        host, _, port = rest.rpartition(":")
        return ModbusOutput(host, int(port))
    return FileOutput(Path(rest)) if kind == "file" else MqttOutput(line, link.publish)


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate-line"))
