"""Parts: golden images and rules, set or taken away, listed and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from framegate.registry.model import Part
from framegate_controller.events.notices import PartChanged
from framegate_controller.inspection.parts import (
    PartChange,
    find_part,
    golden_images,
    parse_change,
    set_part,
)
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_TARGET: Final = 128
"""Characters of a part's id."""


@dataclass(frozen=True, slots=True)
class ShownPart:
    """A part with its golden images."""

    part: Part
    goldens: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AddPart(Verb[Part]):
    """Sign a part under its next version, or take it away; every gateway hears of it at once."""

    change: PartChange

    @classmethod
    def parse(cls, request: pb.AddPartRequest) -> Self:
        """Raises Malformed (PART)."""
        return cls(
            parse_change(
                request.part_type,
                request.goldens,
                request.rules,
                request.source,
                remove=request.remove,
            )
        )

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        summary = self.change.summary + self.change.weakened(tx)
        return Aim("part.add", target=self.change.part.part_type[:MAX_TARGET], summary=summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[Part]:
        """See `Verb.run`."""
        part = set_part(tx, call.fleet.keys, self.change, call.actor, call.allowed.act.approved_by)
        return Outcome(part, (PartChanged(part.envelope),))


@dataclass(frozen=True, slots=True)
class ListParts(Verb[list[Part]]):
    """Every part that is not removed."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("part.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[Part]]:
        """See `Verb.run`."""
        return Outcome(tx.parts.all(removed=False))


@dataclass(frozen=True, slots=True)
class ShowPart(Verb[ShownPart]):
    """One part with its golden images."""

    part_type: str

    @classmethod
    def parse(cls, request: pb.PartRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.part_type)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("part.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[ShownPart]:
        """See `Verb.run`."""
        part = find_part(tx, self.part_type)
        return Outcome(ShownPart(part, tuple(golden_images(tx, part))))
