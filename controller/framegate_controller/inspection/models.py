"""Models of the fleet: registered, approved, and put in force in a zone by a signed pin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from framegate.errors import Failure, Malformed, Reason, Refused
from framegate.machines.model import ModelEvent, ModelState
from framegate.record.fleet_events import (
    ModelApproved,
    ModelPromoted,
    ModelRegistered,
    ModelRolledBack,
    ModelWithdrawn,
)
from framegate.registry.model import Model, ZonePin
from framegate.signed.dsse import strict_json
from framegate.signed.model import bundle_digest, verify_model
from framegate.signed.pin import MAX_APPROVED, MODEL_NAMES, ModelPin, anchor_of, parse_pin
from framegate.transparency.decision import Kind
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.decisions import log_model, log_pin
from framegate_controller.store.shared.versions import next_version

MAX_FILES: Final = 512
"""Files of a bundle: weights in one, some dozen beside it."""
MAX_CARD_BYTES: Final = 256 * 1024
"""A recipe or a card; people read them."""
MOST_EARLIER: Final = 1_000
"""Pins that are looked through for an earlier model of a zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle as it is presented: its signature, its files' SHA-256, recipe and card.

    `anchor` and `signer` say who must have signed.
    """

    signature: bytes
    files: tuple[tuple[str, bytes], ...]
    anchor: str
    signer: str
    recipe: bytes
    card: bytes

    def __post_init__(self) -> None:
        few = 0 < len(self.files) <= MAX_FILES
        if not few or len(self.recipe) > MAX_CARD_BYTES or len(self.card) > MAX_CARD_BYTES:
            wanted = f"1 to {MAX_FILES} files, recipe and card of at most {MAX_CARD_BYTES} bytes"
            raise Malformed.of(Reason.MODEL, wanted, len(self.files))
        anchor_of(self.anchor)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBundle:
    """What the signature of a bundle and its recipe say; made by `verify_bundle` only."""

    bundle: Bundle
    digest: str
    name: str
    version: int
    signer: str

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


def verify_bundle(bundle: Bundle, now: datetime) -> SignedBundle:
    """Establish what `bundle` is.

    1. its signature holds over its files, by the anchor that came along, which whoever approves the
       model approves with it; 2. recipe and card are the signed ones; 3. the recipe names the model
       and its version. Raises Malformed or Refused (MODEL, MODEL_SIGNATURE).
    """
    keys, roots = anchor_of(bundle.anchor)
    files = dict(bundle.files)
    signed = verify_model(
        bundle.signature, files, keys=keys, roots=roots, signers=(bundle.signer,), now=now
    )  # 1
    for file, content in (("recipe.json", bundle.recipe), ("card.json", bundle.card)):  # 2
        if files.get(file, sha256(b"")) != sha256(content):
            raise Refused.of(Reason.MODEL, f"the signed {file}", "another")
    name, version = _named(strict_json(bundle.recipe))  # 3
    return SignedBundle(
        bundle=bundle,
        digest=bundle_digest(files).hex(),
        name=name,
        version=version,
        signer=signed.signer,
    )


def _named(recipe: Any) -> tuple[str, int]:
    body = recipe if type(recipe) is dict else {}
    name, version = body.get("name"), body.get("version")
    if type(name) is not str or not MODEL_NAMES.fullmatch(name):
        raise Malformed.of(Reason.MODEL, "a model's name of a-z 0-9 . -", ascii(name)[:80])
    if type(version) is not int or not 0 < version < 2**31:
        raise Malformed.of(Reason.MODEL, "a recipe with a version from 1", ascii(version)[:60])
    return name, version


def register_model(tx: Transaction, signed: SignedBundle, by: str) -> Model:
    """Make a signed bundle known. Raises Refused (CONFLICT) where it is."""
    if tx.models.get(signed.digest) is not None:
        wanted = "a model that is not registered yet"
        raise Refused.of(Reason.CONFLICT, wanted, signed.digest[:16], "framegate model show")
    model = Model(
        digest=signed.digest,
        name=signed.name,
        version=signed.version,
        signer=signed.signer,
        anchor=signed.bundle.anchor,
        files={name: digest.hex() for name, digest in sorted(signed.bundle.files)},
        recipe=signed.bundle.recipe,
        card=signed.bundle.card,
        state=ModelState.REGISTERED,
        registered_by=by,
        approved_by=(),
        at_ms=tx.now_ms,
    )
    tx.models.put(model)
    tx.record(ModelRegistered(model=signed.label, digest=model.digest, signer=model.signer))
    return model


def approve_model(tx: Transaction, model: Model, approved_by: tuple[str, ...]) -> Model:
    """It may be put in force from now on. Raises Refused (CONFLICT)."""
    approved = model.after(ModelEvent.APPROVE, approved_by)
    tx.models.put(approved)
    log_model(tx, approved)
    tx.record(ModelApproved(model=_label(model), digest=model.digest))
    return approved


def withdraw_model(tx: Transaction, model: Model) -> Model:
    """It may be put in force no more.

    Raises Refused (CONFLICT): where a zone runs it, it is replaced there first.
    """
    withdrawn = model.after(ModelEvent.WITHDRAW)
    running = tx.models.zones_of(model.digest)
    if running:
        actual = f"in force in {', '.join(running[:8])}"
        raise Refused.of(
            Reason.CONFLICT,
            "a model that no zone runs",
            actual,
            f"framegate model rollback {running[0]}",
        )
    tx.models.put(withdrawn)
    log_model(tx, withdrawn, Kind.MODEL_WITHDRAWN)
    tx.record(ModelWithdrawn(model=_label(model), digest=model.digest))
    return withdrawn


def pin_in_force(tx: Transaction, zone: str) -> bytes:
    """The envelope of the pin in force in `zone`, empty where it has none."""
    pin = tx.models.pin(zone)
    return pin.envelope if pin is not None else b""


def unapproved(tx: Transaction, zone: str, digest: str) -> Failure | None:
    """Why a gateway of `zone` that runs this model gets no grants, None where it does.

    The zone has a pin, and neither that nor any approval names the model.
    """
    pin = tx.models.pin(zone)
    if pin is None or pin.digest == digest:
        return None
    model = tx.models.get(digest)
    if model is not None and model.state == ModelState.APPROVED:
        return None  # on its way to the pinned one
    wanted = f"a gateway with an approved model, {pin.digest[:16]}"
    return Failure(
        Reason.MODEL, wanted, f"one that runs {digest[:16]}", "framegate gateway status says why"
    )


def pin_model(
    tx: Transaction, keys: FleetKeys, zone: str, model: Model, *, rollback: bool
) -> ModelPin:
    """Sign the zone's next pin: from now on `model` is in force there.

    It must be approved, and newer than the present one of its name unless it is a roll-back. Raises
    Refused (MODEL, MODEL_ROLLBACK, CONFLICT).
    """
    before = tx.models.pin(zone)
    _may_follow(
        zone, model, parse_pin(before.envelope) if before is not None else None, rollback=rollback
    )
    pin = _pinned(tx, keys, zone, model, rollback=rollback)
    event = ModelRolledBack if rollback else ModelPromoted
    tx.record(event(zone=zone, model=_label(model), digest=model.digest, pin=pin.sequence))
    return pin


def sign_pins_anew(tx: Transaction, keys: FleetKeys) -> int:
    """Every zone's pin once more, under its next sequence; how many zones have one.

    As a roll-back: the zone may have run a later version that this registry knows nothing of.
    """
    zones = tx.models.pinned_zones()
    for zone in zones:
        pin = tx.models.pin(zone)
        model = tx.models.get(pin.digest) if pin is not None else None
        if model is not None:
            _pinned(tx, keys, zone, model, rollback=True)
    return len(zones)


def _pinned(
    tx: Transaction, keys: FleetKeys, zone: str, model: Model, *, rollback: bool
) -> ModelPin:
    before = tx.models.pin(zone)
    pin = ModelPin(
        zone=zone,
        sequence=next_version(tx, before.sequence if before is not None else 0),
        model_sha256=model.digest,
        name=model.name,
        version=model.version,
        signer=model.signer,
        anchor=model.anchor,
        rollback=int(rollback),
        approved=tuple(m.digest for m in tx.models.approved(MAX_APPROVED)),
        issued_at_ms=tx.now_ms,
    )
    signer = keys.signing["model"]
    envelope = pin.seal(signer.der, signer.sign)
    kept = ZonePin(zone=zone, sequence=pin.sequence, digest=model.digest, envelope=envelope)
    tx.models.add_pin(kept)
    log_pin(tx, kept)
    tx.raise_revision()
    return pin


def _may_follow(zone: str, model: Model, present: ModelPin | None, *, rollback: bool) -> None:
    if model.state != ModelState.APPROVED:
        hint = f"framegate model approve {model.digest[:16]}"
        raise Refused.of(Reason.MODEL, "an approved model", f"{_label(model)}, {model.state}", hint)
    if present is None:
        return
    if present.model_sha256 == model.digest:
        raise Refused.of(
            Reason.CONFLICT, f"another model than the present one of {zone}", _label(model)
        )
    if present.name == model.name and model.version <= present.version and not rollback:
        hint = f"framegate model rollback {zone} says that it is meant"
        raise Refused.of(
            Reason.MODEL_ROLLBACK, f"a version above {present.version}", model.version, hint
        )


def earlier_model(tx: Transaction, zone: str) -> Model:
    """The model that was in force in `zone` before the present one, and is still approved.

    Raises Refused (NOT_FOUND).
    """
    pins = tx.models.pins(zone=zone, most=MOST_EARLIER)
    for digest in dict.fromkeys(p.digest for p in pins[1:]):
        model = tx.models.get(digest)
        if digest != pins[0].digest and model is not None and model.state == ModelState.APPROVED:
            return model
    raise Refused.of(
        Reason.NOT_FOUND, f"an earlier approved model of {zone}", "none", "framegate model list"
    )


def _label(model: Model) -> str:
    return f"{model.name} {model.version}"
