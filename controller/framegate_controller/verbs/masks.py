"""Privacy masks of cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from framegate.errors import Malformed, Reason
from framegate.identity.names import Kind
from framegate.registry.device import CameraMasks
from framegate.signed.dsse import strict_json
from framegate.signed.inspected import inspected_share
from framegate.signed.mask import as_fractions, check_masks, parse_masks
from framegate_controller.events.notices import GrantsChanged
from framegate_controller.fleet.masks import set_masks
from framegate_controller.inspection.masked_parts import blinded_parts, told
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class SetMasks(Verb[CameraMasks]):
    """Sign a camera's masks under the next version; the camera hears of it at once."""

    device: str
    regions: tuple[Mapping[str, Any], ...]

    @classmethod
    def parse(cls, request: pb.SetMasksRequest) -> Self:
        """Raises Malformed (MASK)."""
        regions = strict_json(request.regions)
        if type(regions) is not list:
            raise Malformed.of(Reason.MASK, "a list of regions", type(regions).__name__)
        check_masks(regions)
        return cls(request.device, as_fractions(regions))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`. Raises Refused (MASK) where they leave too little of every part."""
        camera = tx.devices.find(self.device, Kind.CAMERA)
        masks = parse_masks(self.regions)
        share = inspected_share(masks.polygons)
        said = f"{masks.words} on {camera.id}, {share} % of the picture inspected"
        blinded = told(blinded_parts(tx, masks.polygons))
        return Aim("mask.set", camera.zone, camera.id, said + blinded)

    def run(self, tx: Transaction, call: Call) -> Outcome[CameraMasks]:
        """See `Verb.run`."""
        camera = tx.devices.find(self.device, Kind.CAMERA)
        masks = set_masks(tx, call.fleet.keys, camera, self.regions)
        return Outcome(masks, (GrantsChanged(camera.id),))


@dataclass(frozen=True, slots=True)
class ShowMasks(Verb[CameraMasks]):
    """A camera's masks in force; version 0 where there are none."""

    device: str

    @classmethod
    def parse(cls, request: pb.DeviceRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.device)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        camera = tx.devices.find(self.device, Kind.CAMERA)
        return Aim("mask.show", camera.zone, camera.id)

    def run(self, tx: Transaction, call: Call) -> Outcome[CameraMasks]:
        """See `Verb.run`."""
        camera = tx.devices.find(self.device, Kind.CAMERA)
        none = CameraMasks(device=camera.id, version=0, sha256=b"", envelope=b"")
        return Outcome(tx.masks.get(camera.id) or none)
