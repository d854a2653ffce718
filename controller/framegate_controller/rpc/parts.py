"""Rows of the operator's port: parts."""

from __future__ import annotations

from typing import Any, Final

from framegate.registry.model import Part
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.parts import AddPart, ListParts, ShownPart, ShowPart
from framegate_proto.v1 import framegate_pb2 as pb


def _part(part: Part, _fleet: Fleet) -> pb.PartRow:
    return pb.PartRow(
        part_type=part.part_type, version=part.version, envelope=part.envelope, by=part.by
    )


def _parts(parts: list[Part], fleet: Fleet) -> pb.PartsReply:
    return pb.PartsReply(parts=[_part(p, fleet) for p in parts])


def _shown(shown: ShownPart, fleet: Fleet) -> pb.PartReply:
    return pb.PartReply(row=_part(shown.part, fleet), goldens=shown.goldens)


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("AddPart", AddPart.parse, _part),
    Rpc("ListParts", ListParts.parse, _parts),
    Rpc("ShowPart", ShowPart.parse, _shown),
)
