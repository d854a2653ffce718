"""Rows of the operator's port: zones."""

from __future__ import annotations

from typing import Any, Final

from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.zones import FreezeZone, ListZones, SetZone, ZoneView
from framegate_proto.v1 import framegate_pb2 as pb


def _zone(view: ZoneView, _fleet: Fleet) -> pb.ZoneRow:
    rules = view.rules
    return pb.ZoneRow(
        name=rules.name,
        cameras=view.cameras,
        gateways=view.gateways,
        trusted=view.trusted,
        grace=rules.grace,
        frozen=rules.frozen,
        reason=rules.reason,
        by=rules.by,
        since_ms=rules.since_ms,
        remark=rules.remark,
    )


def _zones(views: list[ZoneView], fleet: Fleet) -> pb.ZonesReply:
    return pb.ZonesReply(zones=[_zone(v, fleet) for v in views])


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("ListZones", ListZones.parse, _zones),
    Rpc("SetZone", SetZone.parse, _zone),
    Rpc("FreezeZone", FreezeZone.parse, _zone),
)
