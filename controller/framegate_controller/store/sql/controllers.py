"""Controllers of a fleet over SQLAlchemy."""

from __future__ import annotations

import base64
import json
from typing import Final

from sqlalchemy import select

from framegate_controller.store.ports.controllers import KnownController
from framegate_controller.store.sql.rows import Rows, table_of
from framegate_controller.store.tables import shared

_CONTROLLERS: Final = table_of(shared.ControllerRow)


class SqlControllers:
    """See `ports.Controllers`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def all(self) -> list[KnownController]:
        """By name."""
        rows = self._rows.all(select(_CONTROLLERS).order_by(_CONTROLLERS.c.name))
        return [
            KnownController(
                r.name, tuple(base64.b64decode(c) for c in json.loads(r.authorities)), r.seen_ms
            )
            for r in rows
        ]

    def put(self, controller: KnownController) -> None:
        """A new or changed one."""
        encoded = json.dumps([base64.b64encode(c).decode() for c in controller.authorities])
        values = {"authorities": encoded, "seen_ms": controller.seen_ms}
        self._rows.put(_CONTROLLERS, {"name": controller.name, **values})
