"""Models, pins, parts, golden images and batches of receipts over SQLAlchemy."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Row, func, insert, select

from framegate.errors import Reason, Refused
from framegate.machines.model import ModelState
from framegate.registry.model import Model, Part, ReceiptBatchEntry, ZonePin
from framegate.wire import sha256 as digest_of
from framegate_controller.store.sql.rows import Rows, fields_of, read_mapping, table_of
from framegate_controller.store.tables import inspection, record

_MODELS: Final = table_of(inspection.ModelRow)
_PINS: Final = table_of(inspection.ModelPinRow)
_PARTS: Final = table_of(inspection.PartRow)
_GOLDENS: Final = table_of(inspection.GoldenRow)
_BATCHES: Final = table_of(record.BatchRow)
MIN_DIGITS: Final = 8
"""Of a digest's beginning: fewer would soon name several models."""


class SqlModels:
    """See `ports.Models`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, digest: str) -> Model | None:
        """By digest."""
        row = self._rows.one(select(_MODELS).where(_MODELS.c.digest == digest))
        return _model(row) if row is not None else None

    def find(self, digest: str) -> Model:
        """See `ports.Models.find`."""
        query = select(_MODELS).where(_MODELS.c.digest.startswith(digest, autoescape=True)).limit(2)
        matches = self._rows.all(query) if len(digest) >= MIN_DIGITS else ()
        if len(matches) != 1:
            hint = "framegate model list"
            raise Refused.of(
                Reason.NOT_FOUND,
                "a registered model's digest, or its unique beginning",
                ascii(digest[:80]),
                hint,
            )
        return _model(matches[0])

    def all(self, most: int) -> list[Model]:
        """Newest first."""
        return [
            _model(r)
            for r in self._rows.all(select(_MODELS).order_by(_MODELS.c.at_ms.desc()).limit(most))
        ]

    def approved(self, most: int) -> list[Model]:
        """The newest approved ones."""
        query = select(_MODELS).where(_MODELS.c.state == ModelState.APPROVED.value)
        return [
            _model(r) for r in self._rows.all(query.order_by(_MODELS.c.at_ms.desc()).limit(most))
        ]

    def put(self, model: Model) -> None:
        """A new or changed one."""
        packed = {
            "files": json.dumps(dict(model.files)),
            "state": model.state.value,
            "approved_by": json.dumps(list(model.approved_by)),
        }
        self._rows.put(_MODELS, {**fields_of(model), **packed})

    def pin(self, zone: str) -> ZonePin | None:
        """The pin in force."""
        pins = self.pins(zone=zone, most=1)
        return pins[0] if pins else None

    def pins(self, *, zone: str = "", digest: str = "", most: int = 100) -> list[ZonePin]:
        """See `ports.Models.pins`."""
        if zone:
            query = select(_PINS).where(_PINS.c.zone == zone).order_by(_PINS.c.sequence.desc())
        else:
            query = (
                select(_PINS)
                .where(_PINS.c.digest == digest)
                .order_by(_PINS.c.zone, _PINS.c.sequence)
            )
        return [ZonePin(**r._mapping) for r in self._rows.all(query.limit(most))]

    def pinned_zones(self) -> list[str]:
        """Zones in which a model is in force."""
        return sorted(self._rows.scalars(select(_PINS.c.zone).distinct()))

    def zones_of(self, digest: str) -> list[str]:
        """Zones in which this model is in force."""
        newest = (
            select(_PINS.c.zone, func.max(_PINS.c.sequence).label("top"))
            .group_by(_PINS.c.zone)
            .subquery()
        )
        query = select(_PINS.c.zone).join(
            newest, (_PINS.c.zone == newest.c.zone) & (_PINS.c.sequence == newest.c.top)
        )
        return sorted(self._rows.scalars(query.where(_PINS.c.digest == digest)))

    def add_pin(self, pin: ZonePin) -> None:
        """In force from now on."""
        self._rows.run(insert(_PINS).values(**fields_of(pin)))


def _model(r: Row[Any]) -> Model:
    unpacked = {
        "files": read_mapping(r.files),
        "state": ModelState(r.state),
        "approved_by": tuple(json.loads(r.approved_by or "[]")),
    }
    return Model(**{**r._mapping, **unpacked})


class SqlParts:
    """See `ports.Parts`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, part_type: str) -> Part | None:
        """By type."""
        row = self._rows.one(select(_PARTS).where(_PARTS.c.part_type == part_type))
        return Part(**row._mapping) if row is not None else None

    def all(self, *, removed: bool) -> list[Part]:
        """By type."""
        query = select(_PARTS).order_by(_PARTS.c.part_type)
        return [
            Part(**r._mapping)
            for r in self._rows.all(query if removed else query.where(_PARTS.c.removed.is_(False)))
        ]

    def count(self) -> int:
        """How many there ever were."""
        return int(self._rows.scalar(select(func.count()).select_from(_PARTS)))

    def put(self, part: Part) -> None:
        """A new or changed one."""
        self._rows.put(_PARTS, fields_of(part))

    def golden(self, sha256: bytes) -> bytes | None:
        """By its digest."""
        row = self._rows.one(select(_GOLDENS.c.image).where(_GOLDENS.c.sha256 == sha256))
        return bytes(row.image) if row is not None else None

    def keep_golden(self, image: bytes) -> str:
        """Keep an image; its digest in hex."""
        digest = digest_of(image)
        self._rows.put(_GOLDENS, {"sha256": digest, "image": image})
        return digest.hex()


class SqlReceipts:
    """See `ports.Receipts`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def batch(self, gateway: str, store: str, number: int) -> ReceiptBatchEntry | None:
        """One."""
        b = _BATCHES.c
        row = self._rows.one(
            select(_BATCHES).where(b.gateway == gateway, b.store == store, b.number == number)
        )
        return ReceiptBatchEntry(**row._mapping) if row is not None else None

    def last(self, gateway: str, store: str) -> ReceiptBatchEntry | None:
        """The last of a store."""
        b = _BATCHES.c
        row = self._rows.one(
            select(_BATCHES)
            .where(b.gateway == gateway, b.store == store)
            .order_by(b.number.desc())
            .limit(1)
        )
        return ReceiptBatchEntry(**row._mapping) if row is not None else None

    def add(self, batch: ReceiptBatchEntry) -> None:
        """A new one."""
        self._rows.run(insert(_BATCHES).values(**fields_of(batch)))
