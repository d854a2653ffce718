"""`framegate top`: the fleet, live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from framegate_host.console import safe, show_json
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_operator.machines import short_names
from framegate_operator.options import Context, Output, read
from framegate_operator.output import (
    STATE_STYLE,
    ago,
    counted,
    data,
    errors,
    in_words,
    shortened,
    until,
)
from framegate_operator.traffic import ask_traffic, frames_cells, frames_json
from framegate_proto.v1 import framegate_pb2 as pb


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
                devices = stub.List(pb.ListRequest()).devices
                traffic = ask_traffic(operator, devices)
                show_json(
                    [
                        {
                            "device": d.device,
                            "state": d.state,
                            "result_remaining_ms": d.result_remaining_ms,
                            "frames": frames_json(traffic, d.device),
                        }
                        for d in devices
                        if zone in {"", d.zone}
                    ]
                )
                return
            end = time.monotonic() + (seconds or float("inf"))
            with Live(
                _screen(operator, stub, zone),
                console=data,
                refresh_per_second=4,
                screen=data.is_terminal,
            ) as live:
                try:
                    while time.monotonic() < end:
                        time.sleep(every)
                        live.update(_screen(operator, stub, zone))
                except KeyboardInterrupt:
                    pass


def _screen(operator: OperatorContext, stub: Any, zone: str) -> Group:
    status, devices = (
        stub.FleetStatus(pb.ListRequest()),
        [d for d in stub.List(pb.ListRequest()).devices if zone in {"", d.zone}],
    )
    traffic = ask_traffic(operator, devices)
    events, waiting = (
        stub.Events(pb.EventsRequest(limit=8)).events,
        stub.ListAccess(pb.ListAccessRequest()).rows,
    )
    counts = "  ".join(
        f"[{STATE_STYLE[s]}]{n} {s}[/]" for s in STATE_STYLE if (n := status.states.get(s))
    )
    head = Table.grid(expand=True, padding=(0, 2))
    head.add_row(
        f"[bold]fleet {safe(status.fleet)}[/]  {counts}",
        f"{time.strftime('%H:%M:%S')}  {counted(status.watchers, 'agent')}, "
        f"{counted(status.feeds, 'gateway')} connected",
    )
    machines = Table(box=None, pad_edge=False, expand=True)
    for column in ("machine", "zone", "state", "result", "frames/s", "last frame", "reasons", ""):
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
            *(frames_cells(traffic, d.device) if d.kind == "camera" else ("", "")),
            str(d.failures or ""),
            note or (traffic.silence(d.device) if d.kind == "camera" else ""),
        )
    if len(devices) > 30:
        machines.add_row(f"and {len(devices) - 30} more")
    log = _events(events)
    parts: list[Any] = [head, "", machines, "", log]
    pending = [r for r in waiting if r.state == "pending"]
    if pending:
        parts += [
            "",
            f"[yellow]{len(pending)} waiting for somebody:[/] "
            + "; ".join(f"{r.id} {safe(r.summary)} by {safe(r.requester)}" for r in pending[:5]),
        ]
    return Group(*parts)


def _events(rows: Sequence[pb.EventRow]) -> Table:
    """The last events, a line each: what does not fit is cut from the detail alone."""
    log = Table(box=None, pad_edge=False, expand=True, title="last events", title_justify="left")
    names = short_names(name for e in rows for name in (e.device, e.actor) if name)
    cells = [
        (ago(e.at_ms), e.event, names.get(e.device, ""), names.get(e.actor, ""), e.detail)
        for e in rows
    ]
    for at, title in enumerate(("when", "event", "device", "by")):
        width = max((len(row[at]) for row in cells), default=0)
        log.add_column(title, no_wrap=True, min_width=max(width, len(title)))
    log.add_column("detail", no_wrap=True, ratio=1)
    for row in cells:
        log.add_row(*(safe(text) for text in row[:-1]), safe(shortened(row[-1])))
    return log
