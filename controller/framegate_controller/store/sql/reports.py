"""Reports of gateways and lines over SQLAlchemy."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, insert, select

from framegate.registry.model import ReportEntry, ReporterSeen
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import record

_REPORTS: Final = table_of(record.ReportRow)
_REPORTERS: Final = table_of(record.ReporterRow)


class SqlReports:
    """See `ports.Reports`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, reporter: str, store: str, number: int) -> ReportEntry | None:
        """One."""
        r = _REPORTS.c
        row = self._rows.one(
            select(_REPORTS).where(r.reporter == reporter, r.store == store, r.number == number)
        )
        return ReportEntry(**row._mapping) if row is not None else None

    def last(self, reporter: str, store: str) -> ReportEntry | None:
        """The last of a store."""
        r = _REPORTS.c
        row = self._rows.one(
            select(_REPORTS)
            .where(r.reporter == reporter, r.store == store)
            .order_by(r.number.desc())
            .limit(1)
        )
        return ReportEntry(**row._mapping) if row is not None else None

    def add(self, report: ReportEntry, keep: int) -> None:
        """See `ports.Reports.add`."""
        r = _REPORTS.c
        self._rows.run(insert(_REPORTS).values(**fields_of(report)))
        self._rows.run(
            delete(_REPORTS).where(
                r.reporter == report.reporter,
                r.store == report.store,
                r.number <= report.number - keep,
            )
        )

    def seen(self, reporter: str) -> ReporterSeen | None:
        """When it was heard."""
        row = self._rows.one(select(_REPORTERS).where(_REPORTERS.c.reporter == reporter))
        return ReporterSeen(**row._mapping) if row is not None else None

    def reporters(self) -> list[ReporterSeen]:
        """All, by name."""
        rows = self._rows.all(select(_REPORTERS).order_by(_REPORTERS.c.reporter))
        return [ReporterSeen(**row._mapping) for row in rows]

    def put_seen(self, seen: ReporterSeen) -> None:
        """A new or changed one."""
        self._rows.put(_REPORTERS, fields_of(seen))
