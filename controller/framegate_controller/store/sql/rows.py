"""What every repository does alike: run a statement on the transaction's connection, and read JSON
columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, cast

from sqlalchemy import Connection, Executable, Row, Table
from sqlalchemy.dialects import postgresql, sqlite

from framegate.errors import Failure, Reason
from framegate_controller.store.sql.prepared import Check, Driver, DriverOfFile, Prepared
from framegate_controller.store.tables.base import Base

Statement = Executable | Prepared
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""Values of a statement's bound parameters; several for one that runs several times."""

_REASONS: Final = frozenset(Reason)
INSERTS: Final[Mapping[str, Callable[[Table], sqlite.Insert | postgresql.Insert]]] = (
    MappingProxyType({"sqlite": sqlite.insert, "postgresql": postgresql.insert})
)
"""An insert that can say what is to happen where the key is there already, as a database words
it.
"""


class Rows:
    """Statements of one transaction.

    What every attestation runs is `Prepared`, with bound parameters: to build a statement and to
    have SQLAlchemy run it costs more than SQLite takes.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, statement: Statement, parameters: Values = None) -> int:
        """Execute; how many rows it changed."""
        if isinstance(statement, Prepared):
            return self._driver.run(statement, _named(parameters))
        done = self._connection.execute(statement, parameters)
        return int(done.rowcount)

    def one(self, statement: Statement, parameters: Values = None) -> Row[Any] | None:
        """The first row, None where there is none."""
        if isinstance(statement, Prepared):
            return cast("Row[Any] | None", self._driver.one(statement, _named(parameters)))
        return self._connection.execute(statement, parameters).first()

    def all(self, statement: Statement, parameters: Values = None) -> Sequence[Row[Any]]:
        """Every row."""
        if isinstance(statement, Prepared):
            return self._driver.all(statement, _named(parameters))
        return self._connection.execute(statement, parameters).all()

    def scalar(self, statement: Statement, parameters: Values = None) -> Any:
        """The first column of the first row."""
        if isinstance(statement, Prepared):
            found = self._driver.one(statement, _named(parameters))
            return found[0] if found is not None else None
        return self._connection.execute(statement, parameters).scalar()

    def scalars(self, statement: Executable, parameters: Values = None) -> list[Any]:
        """The first column of every row."""
        return list(self._connection.execute(statement, parameters).scalars())

    def later(self, statement: Prepared, parameters: Values, check: Check | None = None) -> None:
        """Execute at the latest before the next statement is, or the commit, of which this one is
        nobody's to wait for; `check` is then told how many rows it changed.
        """
        self._driver.later(statement, _named(parameters), check)

    def ahead(self, statement: Prepared, parameters: Values = None) -> Callable[[], Any]:
        """What gives the first row of it, as it is at some moment between now and then."""
        return self._driver.ahead(statement, _named(parameters))

    @cached_property
    def _driver(self) -> Driver:
        if self.dialect == "sqlite":
            return DriverOfFile(self._connection)
        # psycopg is there where it is used: the extra `postgres`
        from framegate_controller.store.sql.postgres_driver import DriverOfServer  # noqa: PLC0415

        return DriverOfServer(self._connection)

    @property
    def dialect(self) -> str:
        """The database's, a key of `INSERTS`."""
        return self._connection.dialect.name

    def put(self, table: Table, values: Mapping[str, Any]) -> None:
        """Insert, or replace what has the same primary key."""
        keys = [c.name for c in table.primary_key]
        insertion = INSERTS[self.dialect](table).values(**values)
        changed = {k: v for k, v in values.items() if k not in keys}
        self.run(
            insertion.on_conflict_do_update(index_elements=keys, set_=changed)
            if changed
            else insertion.on_conflict_do_nothing()
        )


def upserts(table: Table) -> dict[str, Prepared]:
    """Insert a row of all columns, or replace what has the same primary key, by dialect."""
    keys = [c.name for c in table.primary_key]
    statements: dict[str, Prepared] = {}
    for dialect, put in INSERTS.items():
        insertion = put(table)
        changed = {c.name: insertion.excluded[c.name] for c in table.c if c.name not in keys}
        upsert = insertion.on_conflict_do_update(index_elements=keys, set_=changed)
        statements[dialect] = Prepared(upsert)
    return statements


def _named(parameters: Values) -> Mapping[str, Any]:
    assert parameters is None or isinstance(parameters, Mapping)  # noqa: S101 - one run each
    return parameters or {}


def table_of(cls: type[Base]) -> Table:
    """The table behind a declaration."""
    table = cls.__table__
    assert isinstance(table, Table)  # noqa: S101 - every declaration here has one
    return table


def failures_text(failures: Sequence[Failure]) -> str:
    """Failures as a JSON column."""
    return json.dumps([[f.reason.value, f.expected, f.actual, f.hint] for f in failures])


def read_failures(text: str) -> tuple[Failure, ...]:
    """Failures out of a JSON column; a reason of a later version, whose controller writes to the
    same database, reads as `internal`, as it does in messages.
    """
    if text == "[]":
        return ()
    return tuple(
        Failure(Reason(r) if r in _REASONS else Reason.INTERNAL, e, a, h)
        for r, e, a, h in json.loads(text)
    )


def read_mapping(text: str) -> Mapping[str, Any]:
    """A JSON object column, read only."""
    return MappingProxyType(json.loads(text)) if text else MappingProxyType({})


def fields_of(value: Any) -> dict[str, Any]:
    """A frozen value's members by name, for columns of the same names."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
