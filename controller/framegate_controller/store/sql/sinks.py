"""The record's sinks over SQLAlchemy."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, delete, select

from framegate.ocsf.logged import OcsfVersion
from framegate.registry.sink import Sink, SinkKind
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import sinks

_SINKS: Final = table_of(sinks.SinkRow)


class SqlSinks:
    """See `ports.Sinks`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def all(self) -> list[Sink]:
        """By name."""
        return [_sink(r) for r in self._rows.all(select(_SINKS).order_by(_SINKS.c.name))]

    def get(self, name: str) -> Sink | None:
        """One."""
        row = self._rows.one(select(_SINKS).where(_SINKS.c.name == name))
        return _sink(row) if row is not None else None

    def put(self, sink: Sink) -> None:
        """Keep one."""
        self._rows.put(_SINKS, fields_of(sink))

    def remove(self, name: str) -> None:
        """Forget one."""
        self._rows.run(delete(_SINKS).where(_SINKS.c.name == name))


def _sink(r: Row[Any]) -> Sink:
    columns = dict(r._mapping)
    return Sink(
        **columns | {"kind": SinkKind(r.kind), "version": OcsfVersion(r.version)},
    )
