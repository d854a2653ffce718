"""Zones and their rules: what gateways do when the controller is silent, and whether changes are
barred.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Self

from framegate.errors import Malformed, Reason
from framegate.identity.names import Kind, Zone, parse_name
from framegate.machines.lifecycle import State
from framegate.record.fleet_events import ZoneFrozen, ZoneSet, ZoneThawed
from framegate.registry.zone import Zone as ZoneRules
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_REMARK = 200


@dataclass(frozen=True, slots=True)
class ZoneView:
    """A zone's rules and how many machines it has."""

    rules: ZoneRules
    cameras: int = 0
    gateways: int = 0
    trusted: int = 0


@dataclass(frozen=True, slots=True)
class ListZones(Verb[list[ZoneView]]):
    """Every zone with a machine or a rule, as far as the caller sees it."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("zone.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[ZoneView]]:
        """See `Verb.run`."""
        rules = {z.name: z for z in tx.zones.all()}
        machines: dict[str, Counter[Kind | State]] = {}
        for row in tx.devices.census():
            if row.state != State.RETIRED:
                machines.setdefault(row.zone, Counter()).update(
                    {row.kind: row.count, row.state: row.count}
                )
        return Outcome(
            [
                _view(rules.get(name) or ZoneRules(name=name), machines.get(name))
                for name in sorted({*rules, *machines})
                if call.sees(name)
            ]
        )


def _view(rules: ZoneRules, machines: Counter[Kind | State] | None) -> ZoneView:
    counts: Counter[Kind | State] = machines if machines is not None else Counter()
    return ZoneView(rules, counts[Kind.CAMERA], counts[Kind.GATEWAY], counts[State.TRUSTED])


@dataclass(frozen=True, slots=True)
class SetZone(Verb[ZoneView]):
    """A zone's rules: `grace` is what its gateways do when the controller is silent, None for as it
    is; `remark` likewise.
    """

    zone: Zone
    grace: bool | None
    remark: str | None

    @classmethod
    def parse(cls, request: pb.SetZoneRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if request.feed_silence not in {"", "close", "grace"}:
            raise Malformed.of(Reason.USAGE, "close or grace", ascii(request.feed_silence[:20]))
        if request.remark and not request.set_remark:
            raise Malformed.of(Reason.USAGE, "a remark that is to be set", "one that is not")
        grace = request.feed_silence == "grace" if request.feed_silence else None
        return cls(
            Zone(parse_name(request.zone, "zone")),
            grace,
            request.remark[:MAX_REMARK] if request.set_remark else None,
        )

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        said = "as it is" if self.grace is None else "grace" if self.grace else "close"
        return Aim("zone.set", self.zone, self.zone, f"zone {self.zone}: feed silence {said}")

    def run(self, tx: Transaction, call: Call) -> Outcome[ZoneView]:
        """See `Verb.run`."""
        current = tx.zones.get(self.zone)
        rules = replace(
            current,
            grace=current.grace if self.grace is None else self.grace,
            remark=current.remark if self.remark is None else self.remark,
            by=call.actor,
            since_ms=tx.now_ms,
        )
        tx.zones.put(rules)
        tx.raise_revision()
        tx.record(ZoneSet(zone=self.zone, grace=rules.grace, remark=rules.remark))
        return Outcome(ZoneView(rules), (AccessChanged(),))


@dataclass(frozen=True, slots=True)
class FreezeZone(Verb[ZoneView]):
    """Bar changes in a zone, or allow them again: no machine joins, is released, replaced, retired
    or masked.

    Inspection goes on, and holding a machine stays possible.
    """

    zone: Zone
    frozen: bool
    why: str

    @classmethod
    def parse(cls, request: pb.FreezeZoneRequest) -> Self:
        """Raises Malformed (USAGE)."""
        zone = Zone(parse_name(request.zone, "zone"))
        if request.frozen and not request.reason.strip():
            raise Malformed.of(
                Reason.USAGE, "a reason", "none", "--reason TEXT; whoever is refused reads it"
            )
        return cls(zone, request.frozen, request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("zone.freeze", self.zone, self.zone)

    def run(self, tx: Transaction, call: Call) -> Outcome[ZoneView]:
        """See `Verb.run`."""
        rules = replace(
            tx.zones.get(self.zone),
            frozen=self.frozen,
            reason=self.why,
            by=call.actor,
            since_ms=tx.now_ms,
        )
        tx.zones.put(rules)
        tx.raise_revision()
        tx.record((ZoneFrozen if self.frozen else ZoneThawed)(zone=self.zone, why=self.why))
        return Outcome(ZoneView(rules), (AccessChanged(),))
