"""The operator's calls about models and parts: register, approve, promote, roll back; golden images and rules of part types."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.identity.names import parse_name
from framegate.signed.dsse import parse_envelope, strict_json
from framegate.signed.model import bundle_digest, verify_model
from framegate.signed.part import MAX_GOLDEN_BYTES, MAX_GOLDENS, PartStatement, check_part
from framegate.signed.pin import MODEL_NAMES, anchor_of
from framegate.wire import sha256
from framegate_controller.people.authority import Aim, Allowed, Caller
from framegate_controller.rpc.calls import OperatorCalls
from framegate_controller.rpc.wire import Context, guarded
from framegate_controller.store import inspection
from framegate_controller.store.registry import raise_revision, record
from framegate_controller.store.tables import ModelPinRow, ModelRow, PartRow
from framegate_proto.v1 import framegate_pb2 as pb

MAX_FILES = 512
MAX_CARD_BYTES = 256 * 1024
MAX_PARTS = 2_000
"""Parts of a fleet: their statements, a kilobyte each, are told to every gateway when it connects."""
MAX_GOLDENS_BYTES = 3 * 1024 * 1024
"""All golden images of one request: what a call may carry."""
MAX_RULES_BYTES = 64 * 1024


class ModelCalls(OperatorCalls):
    """Mixed into the operator's service."""

    @guarded
    async def RegisterModel(self, request: pb.RegisterModelRequest, context: Context) -> pb.ModelRow:
        """Make a signed bundle known. Its signature is verified here against the anchor that comes along, which whoever approves the model approves with it."""
        self._peer(context)
        files = {f.name: f.sha256 for f in request.files}
        if not 0 < len(files) <= MAX_FILES or len(request.recipe) > MAX_CARD_BYTES or len(request.card) > MAX_CARD_BYTES:
            raise Malformed.of(Reason.MODEL, f"1 to {MAX_FILES} files, recipe and card of at most {MAX_CARD_BYTES} bytes", len(files))
        keys, roots = anchor_of(request.anchor)
        signed = verify_model(request.signature, files, keys=keys, roots=roots, signers=(request.signer,), now=from_ms(self._now()))
        for file, content in (("recipe.json", request.recipe), ("card.json", request.card)):
            if files.get(file, sha256(b"")) != sha256(content):
                raise Refused.of(Reason.MODEL, f"the signed {file}", "another")
        body = strict_json(request.recipe)
        name, version = parse_model_name(body.get("name") if type(body) is dict else None), body.get("version") if type(body) is dict else None
        if type(version) is not int or not 0 < version < 2**31:
            raise Malformed.of(Reason.MODEL, "a recipe with a version from 1", ascii(version)[:60])
        digest = bundle_digest(files).hex()

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.ModelRow:
            if session.get(ModelRow, digest) is not None:
                raise Refused.of(Reason.CONFLICT, "a model that is not registered yet", digest[:16], "framegate model show")
            row = ModelRow(
                digest=digest, name=name, version=version, signer=signed.signer, anchor=request.anchor,
                files=json.dumps({n: d.hex() for n, d in sorted(files.items())}), recipe=request.recipe, card=request.card, state=inspection.REGISTERED,
                registered_by=caller.actor, approved_by="[]", at_ms=self._now(),
            )  # fmt: skip
            session.add(row)
            record(session, row.at_ms, "", "model-registered", caller.actor, f"{row.name} {row.version}, {digest}, signed by {row.signer}")
            return _model(session, row)

        return await self._do(context, request, Aim("model.register", target=digest, summary=f"register {name} {version}, signed by {signed.signer}"), work)

    @guarded
    async def ApproveModel(self, request: pb.ModelRequest, context: Context) -> pb.ModelRow:
        """Approve a registered model for zones, or withdraw that; one that a zone runs is replaced there first."""

        def aim(session: Session) -> Aim:
            row = inspection.find_model(session, request.digest)
            return Aim("model.approve", target=row.digest, summary=f"{'withdraw' if request.withdraw else 'approve'} {row.name} {row.version}, signed by {row.signer}")

        def work(session: Session, allowed: Allowed, caller: Caller) -> pb.ModelRow:
            row = inspection.find_model(session, request.digest)
            wanted = inspection.WITHDRAWN if request.withdraw else inspection.APPROVED
            if row.state == wanted:
                raise Refused.of(Reason.CONFLICT, f"a model that is not {wanted}", row.state)
            running = inspection.zones_of(session, row.digest)
            if request.withdraw and running:
                raise Refused.of(Reason.CONFLICT, "a model that no zone runs", f"in force in {', '.join(running[:8])}", f"framegate model rollback {running[0]}")
            row.state = wanted
            row.approved_by = json.dumps([caller.actor, *allowed.act.approved_by] if not request.withdraw else [])
            record(session, self._now(), "", f"model-{wanted}", caller.actor, f"{row.name} {row.version}, {row.digest}")
            return _model(session, row)

        return await self._do(context, request, aim, work)

    @guarded
    async def PromoteModel(self, request: pb.ModelRequest, context: Context) -> pb.ModelRow:
        """Put an approved model in force in a zone; its gateways prove it before they switch."""
        return await self._pin(context, request, "model.promote", lambda session, _zone: inspection.find_model(session, request.digest), rollback=False)

    @guarded
    async def RollBackModel(self, request: pb.ModelRequest, context: Context) -> pb.ModelRow:
        """Put the zone's earlier model in force again, or another approved one by its digest."""

        def which(session: Session, zone: str) -> ModelRow:
            return inspection.find_model(session, request.digest) if request.digest else inspection.earlier_model(session, zone)

        return await self._pin(context, request, "model.rollback", which, rollback=True)

    async def _pin(self, context: Context, request: pb.ModelRequest, verb: str, which: Callable[[Session, str], ModelRow], *, rollback: bool) -> pb.ModelRow:
        self._peer(context)
        zone = parse_name(request.zone, "zone")

        def aim(session: Session) -> Aim:
            row = which(session, zone)
            return Aim(verb, zone, row.digest, f"{row.name} {row.version} ({row.digest[:16]}) in force in {zone}")

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.ModelRow:
            row, now = which(session, zone), self._now()
            pin = inspection.pin_model(session, self._verifier.keys, zone, row, now, rollback=rollback)
            session.flush()
            raise_revision(session)
            record(session, now, "", "model-rolled-back" if rollback else "model-promoted", caller.actor, f"{zone}: {row.name} {row.version}, {row.digest}, pin {pin.sequence}")
            return _model(session, row)

        async def after(_row: pb.ModelRow) -> None:
            await self._hub.access_changed()

        return await self._do(context, request, aim, work, after)

    @guarded
    async def ListModels(self, request: pb.ListRequest, context: Context) -> pb.ModelsReply:
        """Registered models, newest first."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.ModelsReply:
            return pb.ModelsReply(models=[_model(session, row) for row in session.scalars(select(ModelRow).order_by(ModelRow.at_ms.desc()).limit(500)).all()])

        return await self._do(context, request, Aim("model.show"), work)

    @guarded
    async def ShowModel(self, request: pb.ModelRequest, context: Context) -> pb.ModelReply:
        """One model with its recipe, card, files, and the pins that named it."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.ModelReply:
            row = inspection.find_model(session, request.digest)
            pins = session.scalars(select(ModelPinRow.envelope).where(ModelPinRow.digest == row.digest).order_by(ModelPinRow.zone, ModelPinRow.sequence).limit(100)).all()
            files = [pb.FileDigest(name=n, sha256=bytes.fromhex(d)) for n, d in json.loads(row.files).items()]
            return pb.ModelReply(row=_model(session, row), recipe=row.recipe, card=row.card, files=files, pins=pins)

        return await self._do(context, request, Aim("model.show"), work)

    @guarded
    async def AddPart(self, request: pb.AddPartRequest, context: Context) -> pb.PartRow:
        """Sign a part under its next version, or take it away; every gateway hears of it at once."""
        self._peer(context)
        goldens, rules = list(request.goldens), _rules(request.rules)
        if not request.remove:
            _check_goldens(goldens, request.source)
        statement = PartStatement(
            part_type=request.part_type, version=1, goldens=tuple(sha256(g).hex() for g in goldens), thresholds=tuple(rules["thresholds"]), min_size_px=rules["min_size_px"],
            ignore=tuple(rules["ignore"]), source=request.source[:200], approved_by=(), removed=int(request.remove), issued_at_ms=self._now(),
        )  # fmt: skip
        check_part(statement)
        images = ", ".join(g[:16] for g in statement.goldens)
        summary = f"take part {request.part_type} away" if request.remove else f"part {request.part_type}: {len(goldens)} golden images ({images}) from {statement.source}"

        def work(session: Session, allowed: Allowed, caller: Caller) -> pb.PartRow:
            held = session.get(PartRow, request.part_type)
            if held is None and (request.remove or session.scalar(select(func.count()).select_from(PartRow)) >= MAX_PARTS):  # type: ignore[operator]
                raise Refused.of(Reason.PART, f"a part there is, and at most {MAX_PARTS}", ascii(request.part_type[:60]), "framegate part list")
            inspection.keep_goldens(session, goldens)
            made = replace(statement, version=held.version + 1 if held else 1, approved_by=(caller.actor, *allowed.act.approved_by))
            signer = self._verifier.keys.signing["part"]
            row = PartRow(part_type=made.part_type, version=made.version, removed=bool(made.removed), envelope=made.seal(signer.der, signer.sign), by=caller.actor)
            session.merge(row)
            raise_revision(session)
            record(session, made.issued_at_ms, "", "part-removed" if made.removed else "part-set", caller.actor, f"{summary}, version {made.version}")
            return pb.PartRow(part_type=row.part_type, version=row.version, envelope=row.envelope, by=row.by)

        async def after(row: pb.PartRow) -> None:
            await self._hub.part_changed(row.envelope)

        return await self._do(context, request, Aim("part.add", target=request.part_type[:128], summary=summary), work, after)

    @guarded
    async def ListParts(self, request: pb.ListRequest, context: Context) -> pb.PartsReply:
        """Every part that is not removed."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.PartsReply:
            rows = session.scalars(select(PartRow).where(PartRow.removed.is_(False)).order_by(PartRow.part_type)).all()
            return pb.PartsReply(parts=[pb.PartRow(part_type=r.part_type, version=r.version, envelope=r.envelope, by=r.by) for r in rows])

        return await self._do(context, request, Aim("part.show"), work)

    @guarded
    async def ShowPart(self, request: pb.PartRequest, context: Context) -> pb.PartReply:
        """One part with its golden images."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.PartReply:
            row = session.get(PartRow, request.part_type)
            if row is None or row.removed:
                raise Refused.of(Reason.NOT_FOUND, "a part's id", ascii(request.part_type[:80]), "framegate part list")

            part = PartStatement.parse_payload(parse_envelope(row.envelope, PartStatement.TYPE).payload)
            images = [inspection.golden_image(session, bytes.fromhex(g)) for g in part.goldens]
            return pb.PartReply(row=pb.PartRow(part_type=row.part_type, version=row.version, envelope=row.envelope, by=row.by), goldens=images)

        return await self._do(context, request, Aim("part.show"), work)


def parse_model_name(name: object) -> str:
    """A model's name as recipes have it. Raises Malformed (MODEL)."""

    if type(name) is not str or not MODEL_NAMES.fullmatch(name):
        raise Malformed.of(Reason.MODEL, "a model's name of a-z 0-9 . -", ascii(name)[:80])
    return name


def _check_goldens(goldens: Sequence[bytes], source: str) -> None:
    if not 1 <= len(goldens) <= MAX_GOLDENS or any(len(g) > MAX_GOLDEN_BYTES for g in goldens) or sum(map(len, goldens)) > MAX_GOLDENS_BYTES:
        raise Malformed.of(Reason.PART, f"1 to {MAX_GOLDENS} golden images, {MAX_GOLDENS_BYTES} bytes together", f"{len(goldens)}, {sum(map(len, goldens))} bytes")
    if any(not g.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) for g in goldens):
        raise Malformed.of(Reason.PART, "golden images as PNG or JPEG", "another file")
    if not source.strip():
        raise Malformed.of(Reason.PART, "where the golden images are from", "nothing", "--source TEXT")


def _rules(raw: bytes) -> dict[str, Any]:
    body = strict_json(raw) if raw else {}
    if len(raw) > MAX_RULES_BYTES or type(body) is not dict or set(body) - {"thresholds", "min_size_px", "ignore"}:
        raise Malformed.of(Reason.PART, "rules with thresholds, min_size_px and ignore", ascii(body)[:80])
    found = {"thresholds": body.get("thresholds", []), "min_size_px": body.get("min_size_px", 0.0), "ignore": body.get("ignore", [])}
    if type(found["thresholds"]) is not list or type(found["ignore"]) is not list or type(found["min_size_px"]) not in {int, float}:
        raise Malformed.of(Reason.PART, "lists of thresholds and regions, a number min_size_px", ascii(found)[:80])
    if any(type(row) is not dict for row in found["thresholds"]):
        raise Malformed.of(Reason.PART, "thresholds as {kind, at_least}", ascii(found["thresholds"])[:80])
    return {**found, "min_size_px": float(found["min_size_px"])}


def _model(session: Session, row: ModelRow) -> pb.ModelRow:
    return pb.ModelRow(
        digest=row.digest, name=row.name, version=row.version, signer=row.signer, state=row.state, zones=inspection.zones_of(session, row.digest), registered_by=row.registered_by,
        at_ms=row.at_ms, approved_by=inspection.approvers(row),
    )  # fmt: skip
