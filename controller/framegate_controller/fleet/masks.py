"""Privacy masks of cameras: signed under the next version, which never falls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framegate.record.machine_events import MasksSet
from framegate.registry.device import CameraMasks, Device
from framegate.signed.dsse import parse_envelope
from framegate.signed.mask import MaskStatement
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.versions import next_version


def set_masks(
    tx: Transaction, keys: FleetKeys, camera: Device, regions: tuple[Mapping[str, Any], ...]
) -> CameraMasks:
    """`regions`, which MUST have been parsed, in force for `camera` from now on."""
    earlier = tx.masks.get(camera.id)
    statement = MaskStatement(
        camera=camera.id,
        version=next_version(tx, earlier.version if earlier is not None else 0),
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


def sign_masks_anew(tx: Transaction, keys: FleetKeys) -> int:
    """Every camera's masks once more, under their next version; how many cameras have some."""
    kept = tx.masks.all()
    for masks in kept:
        camera = tx.devices.get(masks.device)
        if camera is not None:
            payload = parse_envelope(masks.envelope, MaskStatement.TYPE).payload
            set_masks(tx, keys, camera, MaskStatement.parse_payload(payload).regions)
    return len(kept)
