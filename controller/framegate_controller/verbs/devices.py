"""Machines: listed, shown, and what operators change of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from framegate.errors import Malformed, Reason
from framegate.identity.names import Kind
from framegate.machines.lifecycle import State
from framegate.registry.device import Device
from framegate.wire import GatewayPublics
from framegate_controller.events.notices import AttestNow, DeviceChanged, Notice
from framegate_controller.fleet.lifecycle_changes import (
    approve,
    ask_for_evidence,
    begin_maintenance,
    end_maintenance,
    quarantine,
    release,
    retire,
)
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import EntryQuery, LoggedEntry, Transaction
from framegate_controller.verbs.fleet import ROUTINE
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

SHOWN_EVENTS: Final = 20
"""Of the record's entries about a machine, the latest, beside what is known of it."""
MAX_MAINTENANCE_MIN: Final = 7 * 24 * 60
"""A machine that is away for longer is retired, or quarantined."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A machine as it is at `now_ms`, and the gateway processes that it vouches for."""

    device: Device
    gateways: tuple[GatewayPublics, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class ShownDevice:
    """Everything known about a machine.

    With its latest entries, and the EAR of its last evidence that verified, affirming or not.
    """

    view: DeviceView
    entries: tuple[LoggedEntry, ...]
    ear: str


def view_of(tx: Transaction, device: Device) -> DeviceView:
    """`device` as a row of a listing has it."""
    processes = tx.gateways.of_host(device.id) if device.kind == Kind.GATEWAY else ()
    return DeviceView(device, tuple(GatewayPublics.parse(p.publics) for p in processes), tx.now_ms)


@dataclass(frozen=True, slots=True)
class ListDevices(Verb[list[DeviceView]]):
    """All machines of a kind, or of every kind, in the zones that the caller sees."""

    kind: str

    @classmethod
    def parse(cls, request: pb.ListRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.kind)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("device.list")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[DeviceView]]:
        """See `Verb.run`."""
        devices = tx.devices.all(kind=self.kind)
        return Outcome([view_of(tx, d) for d in devices if call.sees(d.zone)])


@dataclass(frozen=True, slots=True)
class ShowDevice(Verb[ShownDevice]):
    """Everything known about one machine."""

    device: str

    @classmethod
    def parse(cls, request: pb.DeviceRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.device)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        device = tx.devices.find(self.device)
        return Aim("device.show", device.zone, device.id)

    def run(self, tx: Transaction, call: Call) -> Outcome[ShownDevice]:
        """See `Verb.run`."""
        device = tx.devices.find(self.device)
        query = EntryQuery(device=device.id, but_events=ROUTINE)
        entries = tx.log.entries(
            query, first=0, below=tx.log.size(), most=SHOWN_EVENTS, newest_first=True
        )
        last = tx.evidence.last(device.id)
        ear = last.ear if last is not None else ""
        return Outcome(ShownDevice(view_of(tx, device), tuple(entries), ear))


class Change(StrEnum):
    """What operators do to a machine.

    A release that ends a quarantine is asked of the policy as a lift.
    """

    QUARANTINE = "quarantine"
    RELEASE = "release"
    RETIRE = "retire"
    APPROVE = "approve"
    ATTEST_NOW = "attest-now"


_CHANGES: Final[Mapping[Change, Callable[[Transaction, Device, str], Device]]] = MappingProxyType(
    {
        Change.QUARANTINE: quarantine,
        Change.RELEASE: release,
        Change.RETIRE: retire,
        Change.APPROVE: approve,
        Change.ATTEST_NOW: ask_for_evidence,
    }
)
_LIFT: Final = "lift"


@dataclass(frozen=True, slots=True)
class ChangeDevice(Verb[DeviceView]):
    """Quarantine, release, retire, approve, or ask for evidence now."""

    device: str
    change: Change
    why: str

    @classmethod
    def parse(cls, request: pb.ChangeRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if request.event not in set(Change):
            *others, last = Change
            wanted = f"{', '.join(others)} or {last}"
            raise Malformed.of(Reason.USAGE, wanted, ascii(request.event[:40]))
        return cls(request.device, Change(request.event), request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        device = tx.devices.find(self.device)
        lifts = self.change == Change.RELEASE and device.state == State.QUARANTINED
        name = _LIFT if lifts else self.change
        said = "lift the quarantine of" if lifts else self.change
        return Aim(f"device.{name}", device.zone, device.id, f"{said} {device.id}")

    def run(self, tx: Transaction, call: Call) -> Outcome[DeviceView]:
        """See `Verb.run`."""
        changed = _CHANGES[self.change](tx, tx.devices.find(self.device), self.why)
        return Outcome(view_of(tx, changed), self._told(changed))

    def _told(self, device: Device) -> tuple[Notice, ...]:
        """Whoever may be trusted again is asked to prove it at once."""
        match self.change:
            case Change.ATTEST_NOW:
                return (AttestNow(device.id),)
            case Change.RELEASE | Change.APPROVE:
                return (DeviceChanged(device.id), AttestNow(device.id))
            case _:
                return (DeviceChanged(device.id),)


@dataclass(frozen=True, slots=True)
class ChangeMaintenance(Verb[DeviceView]):
    """Begin maintenance of so many minutes, or end it: 0."""

    device: str
    minutes: int
    why: str

    @classmethod
    def parse(cls, request: pb.MaintenanceRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if request.minutes > MAX_MAINTENANCE_MIN:
            wanted, hint = f"at most {MAX_MAINTENANCE_MIN} minutes", "quarantine it, or retire it"
            raise Malformed.of(Reason.USAGE, wanted, request.minutes, hint)
        if request.minutes and not request.reason.strip():
            raise Malformed.of(Reason.USAGE, "a reason", "none", "--reason TEXT")
        return cls(request.device, request.minutes, request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        device = tx.devices.find(self.device)
        return Aim("maintenance.change", device.zone, device.id)

    def run(self, tx: Transaction, call: Call) -> Outcome[DeviceView]:
        """See `Verb.run`."""
        device = tx.devices.find(self.device)
        if self.minutes:
            changed = begin_maintenance(tx, device, self.minutes, self.why)
        else:
            changed = end_maintenance(tx, device)
        return Outcome(view_of(tx, changed), (DeviceChanged(changed.id), AttestNow(changed.id)))
