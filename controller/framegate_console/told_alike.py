"""What several sessions were told alike, kept and worked out once. Each session asks with its own
right; only where the fleet's answers are the same, byte for byte, do they share what comes of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from google.protobuf.message import DecodeError

from framegate.errors import Reason, Unavailable
from framegate.identity.names import Kind
from framegate_console.event_stream import Event
from framegate_operator.traffic import GatewayFacts, Traffic, traffic_of
from framegate_proto.v1 import framegate_pb2 as pb

T = TypeVar("T")
MAX_PICTURES: Final = 8
"""Insides of pages of one moment, some 70 KiB each for a thousand cameras: languages, and what
people of several rights are told beside it.
"""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Machines:
    """The machines as the controller told of them, and a digest of that."""

    listed: pb.ListReply
    digest: bytes
    gateways: tuple[pb.DeviceSummary, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Look:
    """The machines as the controller has them, and what the gateways said, at one moment."""

    devices: Sequence[pb.DeviceSummary]
    traffic: Traffic
    _once: dict[Callable[[Look], Any], Any] = field(default_factory=dict)
    _pictures: OrderedDict[Hashable, Event] = field(default_factory=OrderedDict)

    def of_kind(self, kind: str) -> list[pb.DeviceSummary]:
        """Machines of one kind that have not left the fleet."""
        return [d for d in self.devices if d.kind == kind and d.state != "retired"]

    def once(self, work: Callable[[Look], T]) -> T:
        """What `work` makes of it, made once; nobody changes that."""
        if work not in self._once:
            self._once[work] = work(self)
        result: T = self._once[work]
        return result

    def picture(self, shown: Hashable, render: Callable[[], Event]) -> Event:
        """The inside of a page; `shown` MUST hold all that it shows beside this, and its language.
        It goes with this moment.
        """
        picture = self._pictures.get(shown)
        if picture is None:
            picture = self._pictures[shown] = render()
            if len(self._pictures) > MAX_PICTURES:
                self._pictures.popitem(last=False)
        return picture


class ToldAlike:
    """Kept as long as one session has it, and no longer."""

    def __init__(self) -> None:
        self._machines: WeakValueDictionary[bytes, Machines] = WeakValueDictionary()
        self._moved: WeakValueDictionary[bytes, Machines] = WeakValueDictionary()
        self._looks: WeakValueDictionary[Hashable, Look] = WeakValueDictionary()

    def machines(self, listed: bytes) -> Machines:
        """The machines of a `ListReply` as it came, read where nobody was told the same. Raises
        Unavailable where it is none.
        """
        told = sha256(listed).digest()
        kept = self._machines.get(told)
        if kept is None:
            try:
                kept = self._kept(told, pb.ListReply.FromString(listed))
            except DecodeError as error:
                raise Unavailable.of(
                    Reason.UNAVAILABLE, "a list of machines", "other bytes"
                ) from error
        return kept

    def _kept(self, told: bytes, listed: pb.ListReply) -> Machines:
        gateways = tuple(d for d in listed.devices if d.kind == Kind.GATEWAY)
        kept = self._machines[told] = Machines(listed, told, gateways)
        return kept

    def moved(self, before: Machines, rows: Sequence[pb.EventRow]) -> Machines | None:
        """The machines after `rows` of the record, the newest first; None where those say more than
        that known machines are in other states.
        """
        said = (f"{r.device}\0{r.to_state}\0{r.at_ms}" for r in rows)
        told = sha256(b"\0".join([before.digest, *(s.encode() for s in said)])).digest()
        kept = self._moved.get(told)
        if kept is not None:
            return kept
        listed = pb.ListReply()
        listed.CopyFrom(before.listed)
        wanted = {r.device for r in rows}
        known = {d.device: d for d in listed.devices if d.device in wanted}
        if not all(r.to_state and r.device in known for r in rows):
            return None
        for row in reversed(rows):
            known[row.device].state, known[row.device].since_ms = row.to_state, row.at_ms
        # who heard of the same entries in other portions ends at the same machines
        there = sha256(listed.SerializeToString(deterministic=True)).digest()
        kept = self._moved[told] = self._machines.get(there) or self._kept(there, listed)
        return kept

    def look(self, machines: Machines, gateways: tuple[GatewayFacts, ...]) -> Look:
        """What both come to."""
        told = tuple(
            (g.device, g.address, g.problem, g.status and g.status.SerializeToString())
            for g in gateways
        )
        kept = self._looks.get((machines.digest, told))
        if kept is None:
            kept = Look(machines.listed.devices, traffic_of(gateways))
            self._looks[machines.digest, told] = kept
        return kept
