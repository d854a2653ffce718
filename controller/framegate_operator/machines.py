"""A machine as the commands name it and look it up, and its summary as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

from framegate.errors import Reason, Refused
from framegate_host.program import nearest
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext
from framegate_proto.v1 import framegate_pb2 as pb

ID_DOTS: Final = 2
"""An id is kind.zone.name; names have no dot."""
SHOWN: Final = 5
"""Machines of one name that are told one by one."""


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


def device_named(context: OperatorContext, name: str, kind: str = "") -> str:
    """The id of the machine that `name` stands for: an id is itself, none is none. Raises Refused
    where no machine of `kind` (any, where empty) or several are called so.
    """
    if not name or name.count(".") == ID_DOTS:
        return name
    with operator_stub(context) as stub:
        devices = stub.List(pb.ListRequest(kind=kind)).devices
    exact = [d for d in devices if d.name == name]
    alike = exact or [d for d in devices if d.name.startswith(name)]
    if len(alike) == 1:
        return str(alike[0].device)
    what = kind or "machine"
    if alike:
        seen = ", ".join(d.device for d in alike[:SHOWN])
        raise Refused.of(Reason.USAGE, f"one {what}", f"{len(alike)} of that name: {seen}")
    hint = nearest(name, [d.name for d in devices]) or f"framegate {kind or 'camera'} list"
    raise Refused.of(Reason.NOT_FOUND, f"a {what}", ascii(name[:80]), hint)


def short_names(devices: Iterable[str]) -> dict[str, str]:
    """What to call each of `devices`, ids: its name, with its zone where two share the name."""
    known = sorted(set(devices))
    count = Counter(d.rsplit(".", 1)[-1] for d in known)
    shown = {}
    for device in known:
        name = device.rsplit(".", 1)[-1]
        shown[device] = name if count[name] == 1 else device.split(".", 1)[-1]
    return shown


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
