"""Which firmware profile a machine has to satisfy: assigned anew by an operator."""

from __future__ import annotations

from dataclasses import replace

from framegate.errors import Reason, Refused
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.record.machine_events import ProfileAssigned
from framegate.registry.device import Device
from framegate_controller.fleet.devices import change_state
from framegate_controller.fleet.tickets import require_profile
from framegate_controller.store.ports import Transaction


def assign_profile(tx: Transaction, device: Device, profile: str, why: str) -> Device:
    """The machine under another profile of the fleet.

    1. it is of the fleet, and has another profile so far; 2. the profile is in force, and for
    machines of its kind; 3. what it proved under the old one ends now: a trusted machine is stale
    until evidence passes the new one. No other state moves: a suspect is released by a person, a
    held one stays held.
    Raises Refused (TRANSITION, CONFLICT, PROFILE_MISSING, PROFILE_KIND).
    """
    if device.state == State.RETIRED:  # 1
        raise Refused.of(Reason.TRANSITION, "a machine of the fleet", device.state)
    if device.profile == profile:
        hint = f"framegate {device.kind} show {device.name}"
        wanted = "a profile that it does not have already"
        raise Refused.of(Reason.CONFLICT, wanted, ascii(profile[:63]), hint)
    require_profile(tx, profile, device.kind)  # 2
    ends = min(device.standing.expires_ms, tx.now_ms)  # 3
    standing = replace(device.standing, expires_ms=ends)
    assigned = tx.devices.put(replace(device, profile=profile, standing=standing))
    tx.raise_revision()
    tx.record(ProfileAssigned(device=device.id, before=device.profile, after=profile, why=why))
    if device.state != State.TRUSTED:
        return assigned
    return change_state(tx, assigned, Edge.LATE, why=f"profile {profile} assigned")
