"""Controllers of a fleet over SQLAlchemy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import bindparam, select

from framegate_controller.store.ports.controllers import GONE_MS, KnownController
from framegate_controller.store.sql.prepared import Prepared
from framegate_controller.store.sql.rows import Rows, table_of
from framegate_controller.store.tables import shared

_CONTROLLERS: Final = table_of(shared.ControllerRow)

_BEFORE: Final = Prepared(
    select(_CONTROLLERS.c.name)
    .where(_CONTROLLERS.c.reads < bindparam("form"), _CONTROLLERS.c.seen_ms > bindparam("since"))
    .limit(1)
)


class SqlControllers:
    """See `ports.Controllers`."""

    def __init__(self, rows: Rows, now_ms: int) -> None:
        self._rows, self._now_ms = rows, now_ms
        self._expected: dict[int, Callable[[], Any]] = {}
        self._all_read: dict[int, bool] = {}

    def all(self) -> list[KnownController]:
        """By name."""
        rows = self._rows.all(select(_CONTROLLERS).order_by(_CONTROLLERS.c.name))
        return [
            KnownController(
                r.name,
                tuple(base64.b64decode(c) for c in json.loads(r.authorities)),
                r.seen_ms,
                r.reads,
            )
            for r in rows
        ]

    def put(self, controller: KnownController) -> None:
        """A new or changed one."""
        self._expected.clear()
        self._all_read.clear()
        encoded = json.dumps([base64.b64encode(c).decode() for c in controller.authorities])
        values = {"seen_ms": controller.seen_ms, "reads": controller.reads}
        self._rows.put(_CONTROLLERS, {"name": controller.name, "authorities": encoded, **values})

    def expect(self, form: int) -> None:
        """See `ports.Controllers.expect`."""
        if form not in self._all_read and form not in self._expected:
            values = {"form": form, "since": self._now_ms - GONE_MS}
            self._expected[form] = self._rows.ahead(_BEFORE, values)

    def all_read(self, form: int) -> bool:
        """See `ports.Controllers.all_read`."""
        known = self._all_read.get(form)
        if known is None:
            self.expect(form)
            known = self._all_read[form] = self._expected.pop(form)() is None
        return known
