"""framegate-segment: enforce a zone's segments, and look at what was refused here."""

from __future__ import annotations

import json
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from framegate.errors import Malformed, Reason, Unavailable
from framegate.segment.radius import Vlans, radius_pairs
from framegate_host import console
from framegate_host.console import OutputFormat, Terminal, service_exit_code, whole
from framegate_host.logs import start_logging
from framegate_host.printing import show_text
from framegate_host.program import run_program
from framegate_host.service_manager import service_manager
from framegate_host.setting_commands import config_commands
from framegate_host.setting_flags import with_settings
from framegate_host.signals import run_service, until_stopped
from framegate_host.support import support_command
from framegate_segment.admission.switch_state import attributes_now
from framegate_segment.credentials import EnforcerCredentials, load_credentials
from framegate_segment.drops import read_drops
from framegate_segment.server import DROPS, Server
from framegate_segment.settings import SegmentSettings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Segments that follow the proof: who is not trusted now does not get through.",
)
app.add_typer(config_commands(SegmentSettings), name="config")
app.command("support")(support_command(SegmentSettings))


def _errors() -> AbstractContextManager[None]:
    return console.errors(service_exit_code(Reason.USAGE))


@app.command()
@with_settings(SegmentSettings)
def run(settings: SegmentSettings) -> None:
    """Enforce this zone's segment, until stopped; rules stay when it ends."""
    start_logging(verbose=settings.verbose)
    with _errors():
        run_service(_serve(settings, load_credentials(settings.credentials)))


async def _serve(settings: SegmentSettings, credentials: EnforcerCredentials) -> None:
    manager = service_manager()
    server = Server(settings, credentials, manager)
    await until_stopped(server.run(), manager=manager)


@app.command()
@with_settings(SegmentSettings)
def drops(
    state: Path,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    output: OutputFormat = "table",
) -> None:
    """The latest packets that were refused here, or would have been, and why."""
    with _errors():
        if not state.is_dir():
            wanted, hint = f"an enforcer's state in {state}", "framegate-segment run; or --state"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, "no such folder", hint)
        rows = sorted(read_drops(state / DROPS), key=lambda d: -d.number)[:limit]
        if output == "json":
            show_text(json.dumps([asdict(d) for d in rows]))
            return
        table = Table("", "age", "", "conduit", "from", "to", "because", box=None)
        for d in rows:
            age = f"{max(0, int(time.time() - d.at_ms / 1000))} s"
            where = f"{d.destination} {d.port}"
            cells = (str(d.number), age, d.verdict, d.conduit, d.source, where, d.because)
            table.add_row(*map(escape, cells))
        if rows:
            Terminal(highlight=False).print(whole(table))
        else:
            console.talk.print("no packet was refused here, so far as this record goes")


@app.command()
@with_settings(SegmentSettings)
def vlan(
    mac: Annotated[str, typer.Argument(help="Calling-Station-Id, as the switch spells it.")],
    switch_state: Path | None,
    join_vlan: Annotated[int, typer.Option(min=2, max=4094, help="The VLAN before any proof.")],
    zone_vlan: Annotated[
        list[str] | None, typer.Option("--vlan", help="A zone's: cameras=11; may be repeated.")
    ] = None,
) -> None:
    """Attributes for a switch's port, as FreeRADIUS' rlm_exec takes them: the join VLAN, or a
    zone's for a device that is trusted at this moment.
    """
    with _errors():
        if switch_state is None:
            wanted = "--switch-state, the file that the enforcer writes"
            raise Malformed.of(Reason.USAGE, wanted, "none")
        vlans = Vlans(join=join_vlan, zones=_zones(zone_vlan or []))
        now = time.time_ns() // 1_000_000
        show_text(radius_pairs(attributes_now(switch_state, mac, vlans, now)))


def _zones(given: list[str]) -> dict[str, int]:
    """VLAN ids by zone. Raises Malformed (USAGE)."""
    zones: dict[str, int] = {}
    for one in given:
        zone, _, number = one.partition("=")
        if not zone or not number.isdigit() or zone in zones:
            raise Malformed.of(Reason.USAGE, "--vlan ZONE=ID, each zone once", ascii(one)[:40])
        zones[zone] = int(number)
    return zones


def run_app() -> None:
    """Entry point."""
    sys.exit(run_program(app, "framegate-segment"))
