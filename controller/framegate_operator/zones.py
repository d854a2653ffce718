"""`framegate zone …`, `maintenance …`, `ca …`, `top`: the fleet as a whole."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from framegate_host.console import safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import Name
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import (
    STATE_STYLE,
    ago,
    data,
    errors,
    in_words,
    seconds_of,
    show_table,
    until,
)
from framegate_proto.v1 import framegate_pb2 as pb

zones = typer.Typer(no_args_is_help=True, help="Zones: their rules, and freezing changes.")
maintenance = typer.Typer(
    no_args_is_help=True,
    help="Machines that are being worked on: not inspected with, their silence expected.",
)
ca = typer.Typer(no_args_is_help=True, help="The fleet's certificate authorities.")
ZoneName = Annotated[str, typer.Argument(help="The zone's name.")]
Why = Annotated[str, typer.Option(help="Why; shown to whoever is refused, and kept.")]


@zones.command("list")
@read
def list_zones(output: Output = "table", context: Context = None) -> None:
    """Zones, their machines and rules."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ListZones(pb.ListRequest()).zones
        if output == "json":
            show_json([_zone(z) for z in rows])
            return
        cells = [
            (
                z.name,
                z.cameras,
                z.gateways,
                z.trusted,
                "grace" if z.grace else "close",
                f"FROZEN by {z.by}, {ago(z.since_ms)}: {z.reason}" if z.frozen else "",
                z.remark,
            )
            for z in rows
        ]
        show_table(
            ("zone", "cameras", "gateways", "trusted", "feed silence", "frozen", ""),
            cells,
            empty="no zone yet: framegate camera invite NAME --zone ZONE --profile PROFILE",
        )


@zones.command("set")
@write
def set_zone(
    zone: ZoneName,
    feed_silence: Annotated[
        str,
        typer.Option(
            help=(
                "What gateways do when the controller is silent: close, or grace (admit until"
                " results run out)."
            )
        ),
    ] = "",
    description: Annotated[str | None, typer.Option("--remark", help="What the zone is.")] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Set a zone's rules."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.SetZone(
                pb.SetZoneRequest(
                    zone=zone,
                    feed_silence=feed_silence,
                    remark=description or "",
                    set_remark=description is not None,
                )
            )
        _told(
            row, f"zone {safe(row.name)}: feed silence {'grace' if row.grace else 'close'}", output
        )


@zones.command("freeze")
@write
def freeze(zone: ZoneName, reason: Why, output: Output = "table", context: Context = None) -> None:
    """Bar changes: nothing joins, is released, replaced, retired or masked there. Inspection goes
    on.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.FreezeZone(pb.FreezeZoneRequest(zone=zone, frozen=True, reason=reason))
        _told(
            row,
            f"zone {safe(row.name)} is frozen; framegate zone thaw {safe(row.name)} ends it",
            output,
        )


@zones.command("thaw")
@write
def thaw(
    zone: ZoneName, reason: Why = "", output: Output = "table", context: Context = None
) -> None:
    """Allow changes again."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.FreezeZone(pb.FreezeZoneRequest(zone=zone, frozen=False, reason=reason))
        _told(row, f"zone {safe(row.name)}: changes are allowed", output)


@maintenance.command("start")
@write
def start(
    name: Name,
    reason: Why,
    for_: Annotated[
        str, typer.Option("--for", help="How long: 30m, 2h; it ends by itself.")
    ] = "1h",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Begin: the machine's frames are UNINSPECTED, its silence is expected; tampering is found as
    ever.
    """
    _maintain(name, max(1, round(seconds_of(for_) / 60)), reason, output, context)


@maintenance.command("end")
@write
def end(name: Name, output: Output = "table", context: Context = None) -> None:
    """End: it is asked for fresh evidence and inspected with again."""
    _maintain(name, 0, "", output, context)


@maintenance.command("list")
@read
def list_maintenance(output: Output = "table", context: Context = None) -> None:
    """Machines in maintenance."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = [d for d in stub.List(pb.ListRequest()).devices if d.maintenance_until_ms]
        if output == "json":
            show_json(
                [
                    {
                        "device": d.device,
                        "state": d.state,
                        "until_ms": d.maintenance_until_ms,
                        "reason": d.maintenance,
                    }
                    for d in rows
                ]
            )
            return
        show_table(
            ("device", "state", "still", "why"),
            [(d.device, d.state, until(d.maintenance_until_ms), d.maintenance) for d in rows],
            empty="none",
        )


def _maintain(name: str, minutes: int, reason: str, output: str, context: Any) -> None:
    with errors():
        with operator_stub(load_context(context)) as stub:
            d = stub.ChangeMaintenance(
                pb.MaintenanceRequest(device=name, minutes=minutes, reason=reason)
            )
        if output == "json":
            show_json(
                {
                    "device": d.device,
                    "state": d.state,
                    "until_ms": d.maintenance_until_ms,
                    "reason": d.maintenance,
                }
            )
        else:
            now = (
                f"in maintenance, {until(d.maintenance_until_ms)}"
                if minutes
                else "maintenance ended"
            )
            talk.print(f"{safe(d.device)}: {now}")


@ca.command("show")
@read
def show_ca(output: Output = "table", context: Context = None) -> None:
    """The root and every generation of the issuing CAs: where their keys are, and how long they
    live.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ShowCa(pb.ListRequest()).rows
        if output == "json":
            show_json([_ca(r) for r in rows])
        else:
            _show_ca(rows)


@ca.command("rotate")
@write
def rotate(
    label: Annotated[
        str, typer.Argument(help="device-ca, gateway-ca, server-ca, operator-ca or broker-ca.")
    ],
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would happen, and when.")
    ] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Make the next issuing CA. It is told to every machine before it signs; nothing is
    interrupted.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.RotateCa(pb.RotateCaRequest(label=label, plan=plan))
        if output == "json":
            show_json({"plan": list(reply.plan), "rows": [_ca(r) for r in reply.rows]})
            return
        for line in reply.plan:
            data.print(safe(line), soft_wrap=True)
        if not plan:
            _show_ca(reply.rows)
            talk.print("next: framegate ca show --watch 2")


@read
def top(
    zone: Annotated[str, typer.Option(help="Only this zone.")] = "",
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between looks.")] = 1.0,
    seconds: Annotated[
        float, typer.Option(help="End by itself after so long; 0: on Ctrl-C.")
    ] = 0.0,
    output: Output = "table",
    context: Context = None,
) -> None:
    """The fleet, live: who stands where, what happened last, what waits for somebody."""
    with errors():
        operator = load_context(context)
        with operator_stub(operator) as stub:
            if output == "json":
                show_json(
                    [
                        {
                            "device": d.device,
                            "state": d.state,
                            "result_remaining_ms": d.result_remaining_ms,
                        }
                        for d in stub.List(pb.ListRequest()).devices
                        if zone in {"", d.zone}
                    ]
                )
                return
            end = time.monotonic() + (seconds or float("inf"))
            with Live(
                _screen(stub, zone), console=data, refresh_per_second=4, screen=data.is_terminal
            ) as live:
                try:
                    while time.monotonic() < end:
                        time.sleep(every)
                        live.update(_screen(stub, zone))
                except KeyboardInterrupt:
                    pass


def _screen(stub: Any, zone: str) -> Group:
    status, devices = (
        stub.FleetStatus(pb.ListRequest()),
        [d for d in stub.List(pb.ListRequest()).devices if zone in {"", d.zone}],
    )
    events, waiting = (
        stub.Events(pb.EventsRequest(limit=8)).events,
        stub.ListAccess(pb.ListAccessRequest()).rows,
    )
    counts = "  ".join(
        f"[{STATE_STYLE[s]}]{n} {s}[/]" for s in STATE_STYLE if (n := status.states.get(s))
    )
    head = Table.grid(expand=True)
    head.add_row(
        f"[bold]fleet {safe(status.fleet)}[/]  {counts}",
        f"{time.strftime('%H:%M:%S')}  {status.watchers} agents, {status.feeds} gateways connected",
    )
    machines = Table(box=None, pad_edge=False, expand=True)
    for column in ("machine", "zone", "state", "result", "last", "reasons", ""):
        machines.add_column(column)
    order = list(STATE_STYLE)
    for d in sorted(
        devices,
        key=lambda d: (
            d.state == "trusted",
            order.index(d.state) if d.state in order else 9,
            d.name,
        ),
    )[:30]:
        style = STATE_STYLE.get(d.state, "white")
        note = f"maintenance, {until(d.maintenance_until_ms)}" if d.maintenance_until_ms else ""
        machines.add_row(
            safe(d.name),
            safe(d.zone),
            f"[{style}]{d.state}[/]",
            in_words(d.result_remaining_ms),
            ago(d.last_result_ms),
            str(d.failures or ""),
            note,
        )
    if len(devices) > 30:
        machines.add_row(f"and {len(devices) - 30} more", "", "", "", "", "", "")
    log = Table(box=None, pad_edge=False, expand=True, title="last events", title_justify="left")
    for column in ("when", "event", "device", "by", "detail"):
        log.add_column(column, no_wrap=True)
    for e in events:
        log.add_row(ago(e.at_ms), safe(e.event), safe(e.device), safe(e.actor), safe(e.detail[:80]))
    parts: list[Any] = [head, "", machines, "", log]
    pending = [r for r in waiting if r.state == "pending"]
    if pending:
        parts += [
            "",
            f"[yellow]{len(pending)} waiting for somebody:[/] "
            + "; ".join(f"{r.id} {safe(r.summary)} by {safe(r.requester)}" for r in pending[:5]),
        ]
    return Group(*parts)


def _show_ca(rows: Any) -> None:
    cells = [
        (
            r.label,
            r.state,
            r.serial[:16],
            ago(r.not_before_ms),
            until(r.not_after_ms),
            r.held_in,
            r.note,
        )
        for r in rows
    ]
    show_table(("authority", "", "serial", "made", "lives", "key in", ""), cells, empty="")


def _told(row: pb.ZoneRow, sentence: str, output: str) -> None:
    if output == "json":
        show_json(_zone(row))
    else:
        talk.print(sentence)


def _zone(z: pb.ZoneRow) -> dict[str, Any]:
    return {
        "zone": z.name,
        "cameras": z.cameras,
        "gateways": z.gateways,
        "trusted": z.trusted,
        "feed_silence": "grace" if z.grace else "close",
        "frozen": z.frozen,
        "reason": z.reason,
        "by": z.by,
        "since_ms": z.since_ms,
        "remark": z.remark,
    }


def _ca(r: pb.CaRow) -> dict[str, Any]:
    return {
        "label": r.label,
        "state": r.state,
        "subject": r.subject,
        "serial": r.serial,
        "not_before_ms": r.not_before_ms,
        "not_after_ms": r.not_after_ms,
        "held_in": r.held_in,
        "note": r.note,
    }
