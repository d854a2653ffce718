"""What operators do to a machine, and what of its standing changes with it.

Each is one edge of its table.
"""

from __future__ import annotations

from dataclasses import replace

from framegate.errors import Reason, Refused
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.record.machine_events import (
    CountersAccepted,
    EvidenceAsked,
    MaintenanceBegan,
    MaintenanceEnded,
)
from framegate.registry.device import Device
from framegate_controller.fleet.devices import change_state
from framegate_controller.store.ports import Transaction

_MINUTE_MS = 60_000


def quarantine(tx: Transaction, device: Device, why: str) -> Device:
    """Hold a machine: its result ends now. Raises Refused (TRANSITION)."""
    return _result_ended(tx, change_state(tx, device, Edge.QUARANTINE, why=why))


def release(tx: Transaction, device: Device, why: str) -> Device:
    """Let a machine prove itself again, out of suspicion or a quarantine.

    Where its TPM's counters had fallen, whoever releases it has decided about the reset: the next
    evidence sets the new baseline. Raises Refused (TRANSITION).
    """
    released = change_state(tx, device, Edge.RELEASE, why=why)
    if all(f.reason != Reason.COUNTERS for f in released.shown.failures):
        return released
    accepted = tx.devices.put(replace(released, baseline=replace(released.baseline, clock=None)))
    tx.record(CountersAccepted(device=device.id, why=why))
    return accepted


def approve(tx: Transaction, device: Device, why: str) -> Device:
    """Accept a machine that joined by a ticket without an EK. Raises Refused (TRANSITION)."""
    return change_state(tx, device, Edge.APPROVED, why=why)


def retire(tx: Transaction, device: Device, why: str) -> Device:
    """End a machine's time: result and certificate end now, and its tickets are gone.

    Raises Refused (TRANSITION).
    """
    ended = _result_ended(tx, change_state(tx, device, Edge.RETIRE, why=why))
    tx.tickets.remove_of(device.id)
    if ended.tls is None:
        return ended
    return tx.devices.put(replace(ended, tls=replace(ended.tls, certificate_expires_ms=0)))


def ask_for_evidence(tx: Transaction, device: Device, why: str) -> Device:
    """Note that somebody asks a machine for evidence now.

    Raises Refused (TRANSITION) where it has not joined.
    """
    if device.state in {State.RETIRED, State.INVITED}:
        raise Refused.of(Reason.TRANSITION, "a device that has joined", device.state)
    tx.record(EvidenceAsked(device=device.id, why=why))
    return device


def begin_maintenance(tx: Transaction, device: Device, minutes: int, why: str) -> Device:
    """A machine is serviced: not inspected with, its silence expected.

    What its TPM says counts as ever. Raises Refused (TRANSITION) where it is retired.
    """
    _require_in_fleet(device)
    until = tx.now_ms + minutes * _MINUTE_MS
    serviced = tx.devices.put(replace(device, maintenance_until_ms=until, maintenance=why))
    tx.raise_revision()
    tx.record(MaintenanceBegan(device=device.id, minutes=minutes, why=why))
    return serviced


def end_maintenance(tx: Transaction, device: Device) -> Device:
    """Its maintenance is over, by somebody's word. Raises Refused (TRANSITION, CONFLICT)."""
    _require_in_fleet(device)
    if not device.serviced(tx.now_ms):
        hint = f"framegate maintenance start {device.name} --for 1h --reason TEXT"
        raise Refused.of(Reason.CONFLICT, "a machine in maintenance", "it is not", hint)
    back = tx.devices.put(replace(device, maintenance_until_ms=0, maintenance=""))
    tx.raise_revision()
    tx.record(MaintenanceEnded(device=device.id, by_time=False))
    return back


def _result_ended(tx: Transaction, device: Device) -> Device:
    ends = min(device.standing.expires_ms, tx.now_ms)
    return tx.devices.put(replace(device, standing=replace(device.standing, expires_ms=ends)))


def _require_in_fleet(device: Device) -> None:
    if device.state == State.RETIRED:
        raise Refused.of(Reason.TRANSITION, "a machine of the fleet", device.state)
