"""A machine's state in the store: every edge it takes goes through here, so that each is recorded
and told.
"""

from __future__ import annotations

from dataclasses import replace

from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import step
from framegate.record.machine_events import DeviceMoved
from framegate.registry.device import Device
from framegate_controller.store.ports import Transaction


def change_state(
    tx: Transaction, device: Device, edge: Edge, *, why: str = "", by: str = ""
) -> Device:
    """The device after `edge`, put back; the move is recorded, and the trust revision raised, where
    its state moves.

    `by` is who did it, by default who acts. Raises Refused (TRANSITION), Moved.
    """
    after = step(device.state, edge)
    if after == device.state:
        return device
    moved = tx.devices.put(replace(device, state=after, since_ms=tx.now_ms))
    tx.raise_revision()
    tx.record(
        DeviceMoved(device=device.id, edge=edge, before=device.state, after=after, why=why), by=by
    )
    return moved
