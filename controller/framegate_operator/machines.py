"""A machine as the commands name it and look it up, and its summary as data."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from framegate.errors import Reason, Refused
from framegate_operator.connection import load_context, operator_stub
from framegate_proto.v1 import framegate_pb2 as pb


def complete_device(incomplete: str) -> list[str]:
    """Names of machines, for the shell; none where there is no session or no answer."""
    try:
        with operator_stub(load_context(None)) as stub:
            devices = stub.List(pb.ListRequest()).devices
            return [d.name for d in devices if d.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a shell that completes nothing is better than one that fails
        return []


Name = Annotated[
    str, typer.Argument(help="Name, id or unique prefix.", autocompletion=complete_device)
]
Why = Annotated[str, typer.Option("--reason", help="Why; kept with the event.")]


def detail_of(stub: Any, name: str, kind: str) -> pb.DeviceDetail:
    """Everything known about the machine called `name`. Raises Refused where it is no `kind`."""
    detail: pb.DeviceDetail = stub.Show(pb.DeviceRequest(device=name))
    summary = detail.summary
    if summary.kind != kind:
        raise Refused.of(
            Reason.NOT_FOUND,
            f"a {kind}",
            f"{summary.device}",
            f"framegate {summary.kind} show {summary.name}",
        )
    return detail


def summary_json(d: pb.DeviceSummary) -> dict[str, Any]:
    """A machine in a list, as data."""
    return {
        "device": d.device,
        "kind": d.kind,
        "zone": d.zone,
        "name": d.name,
        "state": d.state,
        "since_ms": d.since_ms,
        "profile": d.profile,
        "last_result_ms": d.last_result_ms,
        "result_remaining_ms": d.result_remaining_ms,
        "result_id": d.result_id,
        "failures": d.failures,
        "maintenance_until_ms": d.maintenance_until_ms,
        "maintenance": d.maintenance,
        "gateway_addresses": list(d.gateway_addresses),
        "operator_addresses": list(d.operator_addresses),
    }
