"""`framegate zone …`, `maintenance …`, `ca …`: the fleet as a whole."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from framegate_host.console import safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import Name, short_names
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import (
    ago,
    data,
    errors,
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
        names = short_names(d.device for d in rows)
        show_table(
            ("device", "state", "still", "why"),
            [
                (names[d.device], d.state, until(d.maintenance_until_ms), d.maintenance)
                for d in rows
            ],
            empty="no machine is in maintenance",
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
