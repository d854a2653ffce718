"""Privacy masks of cameras: signed under the next version, which never falls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framegate.record.machine_events import MasksSet
from framegate.registry.device import CameraMasks, Device
from framegate.signed.mask import MaskStatement
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import Transaction


def set_masks(
    tx: Transaction, keys: FleetKeys, camera: Device, regions: tuple[Mapping[str, Any], ...]
) -> CameraMasks:
    """`regions`, which MUST have been parsed, in force for `camera` from now on."""
    held = tx.masks.get(camera.id)
    statement = MaskStatement(
        camera=camera.id,
        version=held.version + 1 if held is not None else 1,
        regions=tuple(dict(r) for r in regions),
        issued_at_ms=tx.now_ms,
    )
    signer = keys.signing["mask"]
    made = CameraMasks(
        device=camera.id,
        version=statement.version,
        sha256=sha256(statement.payload()),
        envelope=statement.seal(signer.der, signer.sign),
    )
    tx.masks.put(made)
    tx.record(MasksSet(device=camera.id, version=made.version, regions=len(regions)))
    return made
