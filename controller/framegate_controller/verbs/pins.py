"""Which model a zone runs: an approved one put in force, or an earlier one again."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from framegate.errors import Malformed, Reason
from framegate.identity.names import Zone, parse_name
from framegate.registry.model import Model
from framegate_controller.events.notices import AccessChanged
from framegate_controller.inspection.models import earlier_model, pin_model
from framegate_controller.inspection.recipes import weakened_recipe
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.models import ModelView, view_of
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class PinModel(Verb[ModelView]):
    """Base of the two: sign a zone's next pin; its gateways prove the model before they switch."""

    NAME: ClassVar[str]
    ROLLBACK: ClassVar[bool]

    zone: Zone
    digest: str

    @classmethod
    def parse(cls, request: pb.ModelRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if request.withdraw:
            raise Malformed.of(Reason.USAGE, "a model for a zone", "one that is to be withdrawn")
        return cls(Zone(parse_name(request.zone, "zone")), request.digest)

    @abstractmethod
    def which(self, tx: Transaction) -> Model:
        """The model that is to be in force. Raises Refused (NOT_FOUND)."""

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        model = self.which(tx)
        summary = f"{model.name} {model.version} ({model.digest[:16]}) in force in {self.zone}"
        pin = tx.models.pin(self.zone)
        before = tx.models.get(pin.digest) if pin is not None else None
        said = weakened_recipe(before.recipe, model.recipe) if before is not None else ()
        summary += f". WEAKER MODEL: {'; '.join(said)}" if said else ""
        return Aim(self.NAME, self.zone, model.digest, summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[ModelView]:
        """See `Verb.run`."""
        model = self.which(tx)
        pin_model(tx, call.fleet.keys, self.zone, model, rollback=self.ROLLBACK)
        return Outcome(view_of(tx, model), (AccessChanged(),))


@dataclass(frozen=True, slots=True)
class PromoteModel(PinModel):
    """Put an approved model in force in a zone."""

    NAME = "model.promote"
    ROLLBACK = False

    def which(self, tx: Transaction) -> Model:
        """See `PinModel.which`."""
        return tx.models.find(self.digest)


@dataclass(frozen=True, slots=True)
class RollBackModel(PinModel):
    """Put the zone's earlier model in force again, or another approved one by its digest."""

    NAME = "model.rollback"
    ROLLBACK = True

    def which(self, tx: Transaction) -> Model:
        """See `PinModel.which`."""
        return tx.models.find(self.digest) if self.digest else earlier_model(tx, self.zone)
