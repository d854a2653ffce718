"""What masks that somebody asks for leave of each part, worked out where the approver reads it.

The request's message has nothing of parts: the controller hands over the signed statements that
are in force, and their outlines are read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from framegate.errors import FramegateError
from framegate.receipt_verifier import MIN_INSPECTED
from framegate.signed.dsse import parse_envelope, strict_json
from framegate.signed.inspected import InspectedOf
from framegate.signed.mask import parse_masks
from framegate.signed.part import PartStatement, left_by
from framegate_proto.rendering import plain
from framegate_proto.v1 import framegate_pb2 as pb


def parts_under(stub: Any, message: Message) -> Iterator[str]:
    """A line for each part with an outline under the masks of `message`; nothing where it is of
    something else. A part that cannot be read, or a list that is refused, is said.
    """
    if not isinstance(message, pb.SetMasksRequest):
        return
    try:
        masks = parse_masks(strict_json(message.regions)).polygons
        rows = stub.ListParts(pb.ListRequest()).parts
    except FramegateError as error:
        yield f"what they leave of parts: unknown: {plain(str(error.failures[0]))}"
        return
    told = 0
    for row in rows:
        part = PartStatement.parse_payload(parse_envelope(row.envelope, PartStatement.TYPE).payload)
        left = left_by(part, masks)
        if left.of is InspectedOf.OUTLINE:
            told += 1
            refused = "" if left.percent >= MIN_INSPECTED else ": ITS FRAMES WILL BE REFUSED"
            yield f"they leave of part {plain(part.part_type)}: {left}{refused}"
    if told < len(rows):
        yield (
            f"{len(rows) - told} parts have no outline: what masks leave of those is told at the"
            " gateway, where their golden images have a background"
        )
