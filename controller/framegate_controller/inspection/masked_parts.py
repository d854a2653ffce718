"""What masks leave of the fleet's parts, by the outlines that were signed with them.

Which camera sees which part nobody says here: a privacy mask may well cover, at one camera, the
place of a part that only another one sees. So masks are refused where no part with an outline could
be inspected under them, and otherwise the parts that could not are told; frames of those are
refused at the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from framegate.errors import Reason, Refused
from framegate.receipt_verifier import MIN_INSPECTED
from framegate.signed.dsse import parse_envelope
from framegate.signed.inspected import Inspected, InspectedOf, Polygon
from framegate.signed.part import PartStatement, left_by
from framegate_controller.store.ports import Transaction

MOST_TOLD: Final = 3
"""Parts named in one line of a summary; the others are counted."""


@dataclass(frozen=True, slots=True)
class BlindedPart:
    """A part of which masks leave too little, and how much that is."""

    part_type: str
    left: Inspected

    def __str__(self) -> str:
        return f"{self.part_type} ({self.left})"


def blinded_parts(tx: Transaction, masks: Sequence[Polygon]) -> tuple[BlindedPart, ...]:
    """Parts with an outline of which `masks` and their own rules leave less than `MIN_INSPECTED`
    percent, the least first. Raises Refused (MASK) where that is every one there is.
    """
    parts = [_read(part.envelope) for part in tx.parts.all(removed=False)]
    left = {part.part_type: left_by(part, masks) for part in parts}
    outlined = {name: said for name, said in left.items() if said.of is InspectedOf.OUTLINE}
    blinded = sorted(
        (
            BlindedPart(name, said)
            for name, said in outlined.items()
            if said.percent < MIN_INSPECTED
        ),
        key=lambda part: (part.left.percent, part.part_type),
    )
    if blinded and len(blinded) == len(outlined):
        raise Refused.of(
            Reason.MASK,
            f"{MIN_INSPECTED} % or more left by masks of a part with an outline",
            f"{blinded[-1]} at most",
            "mask less of where the part lies: framegate part show",
        )
    return tuple(blinded)


def told(blinded: Sequence[BlindedPart]) -> str:
    """For people; empty where no part is blinded."""
    if not blinded:
        return ""
    named = ", ".join(map(str, blinded[:MOST_TOLD]))
    more = f" and {len(blinded) - MOST_TOLD} more" if len(blinded) > MOST_TOLD else ""
    return f". NO LONGER INSPECTED under them: {named}{more}"


def _read(envelope: bytes) -> PartStatement:
    return PartStatement.parse_payload(parse_envelope(envelope, PartStatement.TYPE).payload)
