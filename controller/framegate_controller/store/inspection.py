"""Models, pins, parts and golden images in the registry."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from framegate.errors import Failure, Reason, Refused
from framegate.signed.pin import MAX_APPROVED, ModelPin, parse_pin
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.tables import GoldenRow, ModelPinRow, ModelRow, PartRow

REGISTERED, APPROVED, WITHDRAWN = "registered", "approved", "withdrawn"


def find_model(session: Session, digest: str) -> ModelRow:
    """The registered model with this digest, or whose digest alone begins so (eight digits at least). Raises Refused (NOT_FOUND)."""
    rows = session.scalars(select(ModelRow).where(ModelRow.digest.startswith(digest, autoescape=True)).limit(2)).all() if len(digest) >= 8 else []
    if len(rows) != 1:
        raise Refused.of(Reason.NOT_FOUND, "a registered model's digest, or its unique beginning", ascii(digest[:80]), "framegate model list")
    return rows[0]


def pin_row(session: Session, zone: str) -> ModelPinRow | None:
    """The pin in force in `zone`."""
    return session.scalars(select(ModelPinRow).where(ModelPinRow.zone == zone).order_by(ModelPinRow.sequence.desc()).limit(1)).first()


def pin_in_force(session: Session, zone: str) -> bytes:
    """Its envelope, empty where the zone has none."""
    row = pin_row(session, zone)
    return row.envelope if row is not None else b""


def unapproved(session: Session, zone: str, digest: str) -> Failure | None:
    """Why a gateway of `zone` that runs this model gets no grants: the zone has a pin, and neither it nor any approval names the model."""
    pin = pin_row(session, zone)
    if pin is None or pin.digest == digest:
        return None
    model = session.get(ModelRow, digest)
    if model is not None and model.state == APPROVED:
        return None  # on its way to the pinned one
    return Failure(Reason.MODEL, f"a gateway with an approved model, {pin.digest[:16]}", f"one that runs {digest[:16]}", "framegate gateway status says why")


def zones_of(session: Session, digest: str) -> list[str]:
    """Zones whose pin in force is this model."""
    newest = select(ModelPinRow.zone, func.max(ModelPinRow.sequence).label("top")).group_by(ModelPinRow.zone).subquery()
    query = select(ModelPinRow.zone).join(newest, (ModelPinRow.zone == newest.c.zone) & (ModelPinRow.sequence == newest.c.top)).where(ModelPinRow.digest == digest)
    return sorted(session.scalars(query).all())


def pin_model(session: Session, keys: FleetKeys, zone: str, model: ModelRow, now_ms: int, *, rollback: bool) -> ModelPin:
    """Sign the zone's next pin. Raises Refused (MODEL, MODEL_ROLLBACK): the model must be approved, and newer than the present one of its name unless it is a roll-back."""
    if model.state != APPROVED:
        raise Refused.of(Reason.MODEL, "an approved model", f"{model.name} {model.version}, {model.state}", f"framegate model approve {model.digest[:16]}")
    before = pin_row(session, zone)
    present = parse_pin(before.envelope) if before is not None else None
    if present is not None and present.model_sha256 == model.digest:
        raise Refused.of(Reason.CONFLICT, f"another model than the present one of {zone}", f"{model.name} {model.version}")
    older = present is not None and present.name == model.name and model.version <= present.version
    if older and present is not None and not rollback:
        raise Refused.of(Reason.MODEL_ROLLBACK, f"a version above {present.version}", model.version, f"framegate model rollback {zone} says that it is meant")
    approved = session.scalars(select(ModelRow.digest).where(ModelRow.state == APPROVED).order_by(ModelRow.at_ms.desc()).limit(MAX_APPROVED)).all()
    pin = ModelPin(
        zone=zone, sequence=before.sequence + 1 if before is not None else 1, model_sha256=model.digest, name=model.name, version=model.version, signer=model.signer,
        anchor=model.anchor, rollback=int(rollback), approved=tuple(approved), issued_at_ms=now_ms,
    )  # fmt: skip
    signer = keys.signing["model"]
    session.add(ModelPinRow(zone=zone, sequence=pin.sequence, digest=model.digest, envelope=pin.seal(signer.der, signer.sign)))
    return pin


def earlier_model(session: Session, zone: str) -> ModelRow:
    """The model that was in force in `zone` before the present one, and is still approved. Raises Refused (NOT_FOUND)."""
    present = pin_row(session, zone)
    rows = session.scalars(select(ModelPinRow).where(ModelPinRow.zone == zone).order_by(ModelPinRow.sequence.desc()).offset(1)).all() if present is not None else []
    for row in rows:
        found = session.get(ModelRow, row.digest)
        if present is not None and row.digest != present.digest and found is not None and found.state == APPROVED:
            return found
    raise Refused.of(Reason.NOT_FOUND, f"an earlier approved model of {zone}", "none", "framegate model list")


def approvers(model: ModelRow) -> list[str]:
    """Who approved it."""
    return [str(name) for name in json.loads(model.approved_by or "[]")]


def all_parts(session: Session) -> list[bytes]:
    """Every part's envelope, removed ones too: a gateway that kept one learns so that it is gone."""
    return list(session.scalars(select(PartRow.envelope).order_by(PartRow.part_type)).all())


def keep_goldens(session: Session, images: Sequence[bytes]) -> tuple[str, ...]:
    """Keep golden images; their digests in hex."""
    for image in images:
        session.merge(GoldenRow(sha256=sha256(image), image=image))
    return tuple(sha256(image).hex() for image in images)


def golden_image(session: Session, digest: bytes) -> bytes:
    """A golden image by its digest. Raises Refused (NOT_FOUND)."""
    row = session.get(GoldenRow, digest)
    if row is None:
        raise Refused.of(Reason.NOT_FOUND, "a golden image's digest", digest.hex()[:64])
    return row.image
