"""Models: registered, approved or withdrawn, listed and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from framegate.errors import Malformed, Reason
from framegate.identity.certificates import from_ms
from framegate.registry.model import Model
from framegate_controller.inspection.models import (
    Bundle,
    approve_model,
    register_model,
    verify_bundle,
    withdraw_model,
)
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_MODELS: Final = 500
"""Models told at once, the newest ones."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A registered model, and the zones in which it is in force."""

    model: Model
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownModel:
    """A model with the pins that named it, as signed envelopes."""

    view: ModelView
    pins: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RegisterModel(Verb[ModelView]):
    """Make a signed bundle known."""

    bundle: Bundle

    @classmethod
    def parse(cls, request: pb.RegisterModelRequest) -> Self:
        """Raises Malformed (MODEL)."""
        return cls(
            Bundle(
                signature=request.signature,
                files=tuple({f.name: f.sha256 for f in request.files}.items()),
                anchor=request.anchor,
                signer=request.signer,
                recipe=request.recipe,
                card=request.card,
            )
        )

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`. Raises what `verify_bundle` does: what does not hold asks nobody."""
        signed = verify_bundle(self.bundle, from_ms(tx.now_ms))
        summary = f"register {signed.label}, signed by {signed.signer}"
        return Aim("model.register", target=signed.digest, summary=summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[ModelView]:
        """See `Verb.run`."""
        signed = verify_bundle(self.bundle, from_ms(tx.now_ms))
        return Outcome(view_of(tx, register_model(tx, signed, call.actor)))


@dataclass(frozen=True, slots=True)
class ApproveModel(Verb[ModelView]):
    """Approve a registered model for zones, or withdraw that; see `withdraw_model`."""

    digest: str
    withdraw: bool

    @classmethod
    def parse(cls, request: pb.ModelRequest) -> Self:
        """Raises Malformed where it names a zone: models are approved for all of them."""
        if request.zone:
            raise Malformed.of(Reason.USAGE, "a model, and no zone", ascii(request.zone[:63]))
        return cls(request.digest, request.withdraw)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        model = tx.models.find(self.digest)
        verb = "withdraw" if self.withdraw else "approve"
        summary = f"{verb} {model.name} {model.version} ({model.digest[:16]})"
        summary += f", signed by {model.signer}"
        return Aim("model.approve", target=model.digest, summary=summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[ModelView]:
        """See `Verb.run`."""
        model = tx.models.find(self.digest)
        if self.withdraw:
            return Outcome(view_of(tx, withdraw_model(tx, model)))
        return Outcome(
            view_of(tx, approve_model(tx, model, (call.actor, *call.allowed.act.approved_by)))
        )


@dataclass(frozen=True, slots=True)
class ListModels(Verb[list[ModelView]]):
    """Registered models, newest first."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("model.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[ModelView]]:
        """See `Verb.run`."""
        return Outcome([view_of(tx, m) for m in tx.models.all(MAX_MODELS)])


@dataclass(frozen=True, slots=True)
class ShowModel(Verb[ShownModel]):
    """One model with its recipe, card, files, and the pins that named it."""

    digest: str

    @classmethod
    def parse(cls, request: pb.ModelRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.digest)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("model.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[ShownModel]:
        """See `Verb.run`."""
        model = tx.models.find(self.digest)
        pins = tuple(p.envelope for p in tx.models.pins(digest=model.digest))
        return Outcome(ShownModel(view_of(tx, model), pins))


def view_of(tx: Transaction, model: Model) -> ModelView:
    """The model as it is told."""
    return ModelView(model, tuple(tx.models.zones_of(model.digest)))
