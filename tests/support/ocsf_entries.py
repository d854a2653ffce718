"""An entry of every kind that the record can hold, as it would be logged."""

import dataclasses
import typing
from enum import StrEnum
from functools import cache

from framegate.errors import Reason
from framegate.findings.kinds import Finding, FindingKind
from framegate.machines.lifecycle import Event as Edge
from framegate.record.entry import Act, entry_bytes, event_entry
from framegate.record.events import events

AT_MS = 1_790_000_000_000
ACTS = (
    Act(actor="controller"),
    Act(
        actor="operator.anna",
        source="ipv4:10.0.0.7:41022",
        approved_by=("operator.berta",),
        reason='because "it" has\nto be\x00 done',
        verb="zone.set",
        policies=("operate-in-zone",),
        policy="7",
        request="r1",
    ),
)
BATCH = {
    "kind": "receipt-batch",
    "gateway": "gateway.line-1.gw1",
    "store": "s1",
    "number": 1,
    "first": 1,
    "count": 3,
    "recovered": 0,
    "batch_sha256": "00" * 32,
    "at_ms": AT_MS,
}


def _value(name, kind):
    if kind is bool:
        return True
    if kind is int:
        return 3
    if kind is bytes:
        return b"\x01" * 32
    if kind is Reason:
        return Reason.POLICY_DENIED
    if typing.get_origin(kind) is tuple:
        first = typing.get_args(kind)[0]
        return (Reason.PCR_DIGEST, Reason.IMA_FILE) if first is Reason else ("one", "two")
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return next(iter(kind))
    return {"source": "ipv4:10.0.0.9:1"}.get(name, f"{name} <&\x1b[0m'\"")


def finding_of(name):
    return Finding(
        kind=FindingKind(name),
        device="camera.line-1.cam1",
        reason="frame-frozen",
        count=2,
        first_ms=AT_MS,
        last_ms=AT_MS,
        said="s",
    )


def every_event(device: str = "camera.line-1.cam1"):
    """(name, event) for each declared name, its members filled with what is awkward."""
    for name, cls in events().items():
        hints = typing.get_type_hints(cls)
        given = {
            f.name: _value(f.name, hints[f.name])
            for f in dataclasses.fields(cls)
            if f.name != "device"
        }
        if "finding" in given:
            given["finding"] = finding_of(name)
        if "edge" in given:
            given["edge"] = Edge(name)
        if name.startswith("rollout-") and "state" in given:
            given["state"] = type(given["state"])(name.removeprefix("rollout-"))
        yield name, cls(device=device, **given)


@cache
def every_entry() -> tuple[bytes, ...]:
    """Bytes of an entry for every kind, event and way to act; asked for by many modules."""
    entries: list[bytes] = []
    for act in ACTS:
        for _, event in [*every_event(), *every_event("")]:
            index, previous = len(entries), b"\x07" * 32 if entries else None
            entries.append(entry_bytes(index, previous, event_entry(event, act, AT_MS + index)))
    previous = b"\x07" * 32 if entries else None
    return (*entries, entry_bytes(len(entries), previous, BATCH))
