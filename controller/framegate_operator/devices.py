"""`framegate camera …`, `gateway …` and `backend …`: invite, look at, and steer machines.

One table of commands serves every kind.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from framegate_host.console import confirm, safe, show_json, talk
from framegate_operator import adoption, machine_details, tickets
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.machines import Name, Why, detail_of, summary_json
from framegate_operator.options import Command, Context, Output, for_kind, read, write
from framegate_operator.output import ago, errors, in_words, show_table
from framegate_operator.traffic import Traffic, ask_traffic, frames_cells, frames_json
from framegate_proto.v1 import framegate_pb2 as pb

_HELP: Final = MappingProxyType(
    {
        "camera": "Cameras: invite, look at, steer.",
        "gateway": "Gateways' hosts: invite, look at, steer.",
        "backend": "Model servers' hosts: invite, look at, steer.",
    }
)


def device_commands(kind: str) -> typer.Typer:
    """The commands of one kind of device."""
    app = typer.Typer(no_args_is_help=True, help=_HELP[kind])
    for verb, work in _COMMANDS:
        app.command(verb)(for_kind(kind, work))
    return app


@read
def list_(kind: str, output: Output = "table", context: Context = None) -> None:
    """All of them, with their state."""
    with errors():
        operator = load_context(context)
        with operator_stub(operator) as stub:
            everything = stub.List(pb.ListRequest()).devices
        devices = [d for d in everything if d.kind == kind]
        traffic = ask_traffic(operator, everything) if kind == "camera" else None
        if output == "json":
            show_json([_json(d, traffic) for d in devices])
            return
        invite = f"framegate {kind} invite NAME --profile PROFILE"
        sent = ("frames/s", "last frame") if traffic is not None else ()
        columns = ("name", "zone", "state", "since", *sent, "last result", "result", "profile")
        rows = [_row(d, traffic) for d in devices]
        empty = f"no {kind} yet; make a ticket: {invite}"
        spare = ("last result", "since", "result", "profile", "zone")
        show_table((*columns, "reasons", ""), rows, empty=empty, spare=spare)


def _row(d: pb.DeviceSummary, traffic: Traffic | None) -> tuple[object, ...]:
    return (
        d.name,
        d.zone,
        d.state,
        ago(d.since_ms),
        *(frames_cells(traffic, d.device) if traffic is not None else ()),
        ago(d.last_result_ms),
        in_words(d.result_remaining_ms),
        d.profile,
        d.failures or "",
        "maintenance" if d.maintenance_until_ms else "",
    )


def _json(d: pb.DeviceSummary, traffic: Traffic | None) -> dict[str, Any]:
    """A machine as data; a camera with what is known of its frames."""
    sent = {"frames": frames_json(traffic, d.device)} if traffic is not None else {}
    return summary_json(d) | sent


def _change(verb: str, purpose: str) -> tuple[str, Command]:
    def run(
        kind: str,
        name: Name,
        reason: Why = "",
        output: Output = "table",
        context: Context = None,
    ) -> None:
        _change_state(kind, verb, name, reason, output, context)

    run.__doc__ = purpose
    return verb, write(run)


@write
def retire(
    kind: str,
    name: Name,
    reason: Why = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Take it out of the fleet for good; only a new ticket brings it back."""
    if not yes:
        confirm(f"retire {name} for good?")
    _change_state(kind, "retire", name, reason, output, context)


def _change_state(
    kind: str, verb: str, name: str, reason: str, output: str, context: Path | None
) -> None:
    with errors():
        with operator_stub(load_context(context)) as stub:
            device = detail_of(stub, name, kind).summary.device
            summary = stub.Change(pb.ChangeRequest(device=device, event=verb, reason=reason))
        if output == "json":
            show_json(summary_json(summary))
        else:
            talk.print(f"{safe(summary.device)}: {_came_of(verb, summary.state)}")


def _came_of(verb: str, state: str) -> str:
    """What is known when the controller has answered: that it asked, and where the machine stands
    now. Whether fresh evidence passes comes later.
    """
    if verb == "attest-now":
        return f"asked for fresh evidence; {state} when that was asked"
    return f"{_DONE.get(verb, f'{verb} is recorded')}, {state} now"


_DONE: Final = MappingProxyType(
    {
        "quarantine": "held",
        "release": "released; it has to attest before it is trusted",
        "approve": "approved",
        "retire": "retired",
    }
)
_COMMANDS: Final[tuple[tuple[str, Command], ...]] = (
    ("invite", tickets.invite),
    ("replace", tickets.replace),
    ("adopt", adoption.adopt),
    ("profile", adoption.profile),
    ("list", list_),
    ("show", machine_details.show),
    ("why", machine_details.why),
    _change("quarantine", "Hold it: its frames are refused at once, everywhere."),
    _change("release", "Lift a quarantine or suspicion; fresh evidence must still pass."),
    _change("approve", "Accept a machine that joined by a ticket without an EK hash."),
    _change("attest-now", "Ask it for fresh evidence at once."),
    ("retire", retire),
)
cameras = device_commands("camera")
backends = device_commands("backend")
