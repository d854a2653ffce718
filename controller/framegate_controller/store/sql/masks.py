"""The masks of cameras over SQLAlchemy."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, bindparam, select

from framegate.identity.names import DeviceId
from framegate.registry.device import CameraMasks
from framegate_controller.store.sql.prepared import Prepared
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import machines

_MASKS: Final = table_of(machines.MaskRow)
_OF: Final = Prepared(select(_MASKS).where(_MASKS.c.device == bindparam("of")))


class SqlMasks:
    """See `ports.Masks`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, device: str) -> CameraMasks | None:
        """Those in force."""
        row = self._rows.one(_OF, {"of": device})
        return _masks(row) if row is not None else None

    def all(self) -> list[CameraMasks]:
        """Those of every camera."""
        return [_masks(r) for r in self._rows.all(select(_MASKS).order_by(_MASKS.c.device))]

    def put(self, masks: CameraMasks) -> None:
        """In force from now on."""
        self._rows.put(_MASKS, fields_of(masks))


def _masks(r: Row[Any]) -> CameraMasks:
    return CameraMasks(
        device=DeviceId(r.device), version=r.version, sha256=r.sha256, envelope=r.envelope
    )
