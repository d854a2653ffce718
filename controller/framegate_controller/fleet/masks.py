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
    earlier = tx.masks.get(camera.id)
    statement = MaskStatement(
        camera=camera.id,
        version=earlier.version + 1 if earlier is not None else 1,
        regions=tuple(dict(r) for r in regions),
        issued_at_ms=tx.now_ms,
    )
    signer = keys.signing["mask"]
    masks = CameraMasks(
        device=camera.id,
        version=statement.version,
        sha256=sha256(statement.payload()),
        envelope=statement.seal(signer.der, signer.sign),
    )
    tx.masks.put(masks)
    tx.record(MasksSet(device=camera.id, version=masks.version, regions=len(regions)))
    return masks
