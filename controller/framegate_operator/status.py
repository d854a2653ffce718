"""`framegate status`: one screen. Gateways, cameras and what they sent lately, connections, and the
one thing to do next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Reason
from framegate.pilot.policy import Pilots, stage_of
from framegate.signed.statement import Outcome
from framegate_host.console import safe, show_json
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import summary_json
from framegate_operator.options import Context, Output, read
from framegate_operator.output import STATE_STYLE, data, errors, show_table, span
from framegate_operator.pilots import piloted_lines, pilots_in_force
from framegate_operator.traffic import (
    GatewayFacts,
    LineFacts,
    Traffic,
    ask_traffic,
    frames_cells,
    frames_json,
    to_do,
)
from framegate_proto.causes import CLOCK
from framegate_proto.v1 import framegate_pb2 as pb

SHOWN: Final = 30
"""Cameras on one screen, those that need somebody first; the rest is `framegate camera list`."""
_WORST_FIRST: Final = tuple(reversed(STATE_STYLE))
_LOOK: Final = "all is well: framegate verdict watch"


@dataclass(frozen=True, slots=True)
class Screen:
    """All that one look at the fleet gathered. `pilots` is None where nobody could say."""

    fleet: pb.FleetStatusReply
    devices: Sequence[pb.DeviceSummary]
    traffic: Traffic
    waiting: Sequence[pb.AccessRow]
    pilots: Pilots | None = None
    now_ms: int = 0

    def of_kind(self, kind: str) -> list[pb.DeviceSummary]:
        """Machines of one kind that have not left the fleet."""
        return [d for d in self.devices if d.kind == kind and d.state != "retired"]

    @property
    def next(self) -> str:
        """The one thing to do: the first that stands in the way of the most."""
        return next(_things(self), _LOOK)


@read
def status(output: Output = "table", context: Context = None) -> None:
    """One screen: gateways, what each camera sends and what became of it, connections, what to do
    next. Unknown is `?`, never zero.
    """
    with errors():
        operator = load_context(context)
        with operator_stub(operator) as stub:
            fleet = stub.FleetStatus(pb.ListRequest())
            devices = stub.List(pb.ListRequest()).devices
            waiting = [
                r
                for r in stub.ListAccess(pb.ListAccessRequest()).rows
                if r.state == "pending" and r.requester != operator.operator
            ]
        screen = Screen(
            fleet,
            devices,
            ask_traffic(operator, devices),
            waiting,
            pilots_in_force(operator),
            time.time_ns() // 1_000_000,
        )
        if output == "json":
            show_json(_json(screen))
        else:
            _show(screen)


def _show(screen: Screen) -> None:
    counts = "  ".join(
        f"[{STATE_STYLE[s]}]{n} {s}[/]" for s in STATE_STYLE if (n := screen.fleet.states.get(s))
    )
    data.print(f"[bold]fleet {safe(screen.fleet.fleet)}[/]  {counts or 'no machines yet'}\n")
    _show_stages(screen)
    gateways = list(map(_gateway_row, screen.traffic.gateways))
    show_table(("gateway", "", "gate", "model", "broker"), gateways, empty="no gateway stands")
    cameras = sorted(
        screen.of_kind("camera"),
        key=lambda d: (-_WORST_FIRST.index(d.state) if d.state in _WORST_FIRST else 0, d.device),
    )
    cameras.sort(key=lambda d: d.state == "trusted")
    data.print()
    columns = ("camera", "zone", "state", "frames/s", "last frame", *Outcome)
    rows = [_camera_row(screen.traffic, d) for d in cameras[:SHOWN]]
    show_table(columns, rows, empty="no camera yet", spare=("zone", "frames/s"))
    for d in cameras[:SHOWN]:
        if note := _camera_note(screen.traffic, d):
            data.print(f"{safe(d.name)}: {safe(note)}", soft_wrap=True)
    if len(cameras) > SHOWN:
        data.print(f"and {len(cameras) - SHOWN} more: framegate camera list")
    if screen.traffic.lines:
        data.print()
        lines = list(map(_line_row, screen.traffic.lines))
        show_table(("line", "", "takes decisions", "does not", "heard by"), lines, empty="")
    data.print(f"\n[bold]next[/]  {safe(screen.next)}", soft_wrap=True)


def _show_stages(screen: Screen) -> None:
    """Where nothing is diverted, before anything else: what the policy says, and what lines say."""
    if screen.pilots is None:
        data.print("[bold red]?[/] whether a zone is piloted is not known\n", soft_wrap=True)
        return
    told = list(piloted_lines(screen.pilots, screen.now_ms))
    for line in screen.traffic.lines:
        if line.stage and not line.silent:
            told.append(f"[bold red]LINE {safe(line.line)} DIVERTS NOTHING[/]: {safe(line.stage)}")
    if told:
        data.print("\n".join([*told, ""]), soft_wrap=True)


def _gateway_row(g: GatewayFacts) -> tuple[object, ...]:
    name = g.device.split(".")[-1]
    if g.status is None:
        return name, "down", "?", g.problem, "?"
    gate = "open" if g.status.gate_open else "SHUT"
    return name, "up", gate, f"{g.status.model}, {g.status.model_state}", g.status.broker or "none"


def _camera_row(traffic: Traffic, d: pb.DeviceSummary) -> tuple[object, ...]:
    rate, last = frames_cells(traffic, d.device)
    camera = traffic.of(d.device)
    unknown = "?" if rate == "?" else 0
    outcomes = [camera.outcomes.get(o, 0) if camera else unknown for o in Outcome]
    return d.name, d.zone, d.state, rate, last, *outcomes


def _camera_note(traffic: Traffic, d: pb.DeviceSummary) -> str:
    """Why no frames come, or why they are not inspected; empty where all is as it should be. It
    stands below the table: a column of sentences leaves no room for it on 80.
    """
    camera = traffic.of(d.device)
    note = traffic.silence(d.device)
    if not note and camera is not None and camera.outcomes.get(Outcome.UNINSPECTED):
        note = f"UNINSPECTED: {camera.reason}"
    return note


def _line_row(line: LineFacts) -> tuple[object, ...]:
    state = f"silent for {span(line.heard_s)}" if line.silent else line.stage.upper() or "up"
    known = not line.silent
    return (
        line.line,
        state,
        ", ".join(line.taking) if known else "?",
        ", ".join(line.refusing) if known else "?",
        line.gateway.split(".")[-1],
    )


def _things(screen: Screen) -> Iterator[str]:
    """What somebody should do, the most urgent first."""
    yield from _things_at_gateways(screen)
    yield from _things_at_machines(screen)
    yield from _things_at_connections(screen)
    yield from _things_at_cameras(screen)
    for request in screen.waiting:
        yield f"{request.requester} waits for somebody: framegate access list"


def _things_at_gateways(screen: Screen) -> Iterator[str]:
    if not screen.of_kind("gateway"):
        yield "bring in a gateway's host: framegate gateway invite NAME --profile PROFILE"
    for gateway in screen.traffic.gateways:
        if gateway.status is None:
            name = gateway.device.split(".")[-1]
            where = f" at {gateway.address}" if gateway.address else ""
            if CLOCK in gateway.problem:
                yield f"{name} cannot be asked: {gateway.problem}"
                continue
            if gateway.problem.startswith(Reason.TRUST_FEED):
                yield f"{name} answers nobody ({gateway.problem}): framegate fleet; see to its host"
                continue
            yield f"{name} does not answer{where}: does framegate-gateway run on its host?"
        elif not gateway.status.gate_open:
            yield f"the gate of {gateway.device} is shut: framegate gateway why {gateway.device}"


def _things_at_machines(screen: Screen) -> Iterator[str]:
    asked = (("suspect", "why"), ("pending", "approve"), ("quarantined", "release"))
    for state, verb in asked:
        for d in screen.devices:
            if d.state == state and not d.maintenance_until_ms:
                yield f"{d.name} is {state}: framegate {d.kind} {verb} {d.name}"
    for d in screen.of_kind("gateway"):
        if d.state != "trusted":
            yield f"{d.name} is {d.state}: framegate gateway why {d.name}"
    if not screen.of_kind("camera"):
        yield "bring in a camera: framegate camera invite NAME --profile PROFILE"


def _things_at_connections(screen: Screen) -> Iterator[str]:
    for gateway in screen.traffic.gateways:
        if gateway.status is not None and gateway.status.broker == "away":
            yield f"{gateway.device} does not reach its broker: does that run?"
    for line in screen.traffic.lines:
        if line.silent:
            yield f"line {line.line} is silent for {span(line.heard_s)}: does framegate-line run?"
        elif line.refusing:
            where = ", ".join(line.refusing)
            yield f"line {line.line} is not taken from at {where}: parts divert; look at its PLC"


def _things_at_cameras(screen: Screen) -> Iterator[str]:
    for d in screen.of_kind("camera"):
        if d.state != "trusted" and not d.maintenance_until_ms:
            yield f"{d.name} is {d.state}: framegate camera why {d.name}"
    for d in screen.devices:
        if d.state == "trusted" and not d.result_remaining_ms:
            yield f"{d.name}: its result is over: framegate {d.kind} why {d.name}"
    for d in screen.of_kind("camera"):
        silence, camera = screen.traffic.silence(d.device), screen.traffic.of(d.device)
        if silence and not d.maintenance_until_ms:
            yield f"{d.name}: {silence}: framegate camera why {d.name}"
        elif camera is not None and (wanted := to_do(camera, d.name)):
            yield f"{d.name} has UNINSPECTED parts ({camera.reason}): {wanted}"


def _json(screen: Screen) -> dict[str, Any]:
    now, pilots = screen.now_ms, screen.pilots
    return {
        "fleet": screen.fleet.fleet,
        "pilots": None
        if pilots is None
        else {z: s.value for z in pilots if not (s := stage_of(pilots, z, now)).diverts},
        "states": dict(screen.fleet.states),
        "gateways": [
            {
                "device": g.device,
                "address": g.address,
                "up": g.status is not None,
                "problem": g.problem,
                "gate_open": g.status.gate_open if g.status is not None else None,
                "broker": g.status.broker if g.status is not None else None,
            }
            for g in screen.traffic.gateways
        ],
        "cameras": [
            summary_json(d) | {"frames": frames_json(screen.traffic, d.device)}
            for d in screen.of_kind("camera")
        ],
        "lines": [
            {
                "line": line.line,
                "silent": line.silent,
                "heard_s": line.heard_s,
                "taking": list(line.taking),
                "refusing": list(line.refusing),
                "gateway": line.gateway,
                "stage": line.stage or "enforce",
            }
            for line in screen.traffic.lines
        ],
        "next": screen.next,
    }
