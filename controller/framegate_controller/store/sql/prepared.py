"""Statements of what happens all day, run by the driver: SQLAlchemy words each once for a kind of
database, and is not asked again.

What SQLAlchemy does for each run of a statement takes ten times as long as SQLite takes to run it.
Tables, columns and dialects are SQLAlchemy's all the same, and so is every error that comes out.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar, cast

from sqlalchemy import (
    Boolean,
    Connection,
    Enum,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    select,
    type_coerce,
)
from sqlalchemy.engine.interfaces import DBAPICursor, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.types import TypeEngine

R = TypeVar("R")
Values = Mapping[str, Any]
"""Of a statement's bound parameters, and of the columns that it writes."""
Check = Callable[[int], None]
"""Is told how many rows a statement changed; what it raises undoes the transaction."""
_PLAIN: Final = (Integer, String, LargeBinary)
"""Types whose values both drivers take and give as they are."""
_TAKEN: Final = (*_PLAIN, Boolean)
"""Whether something is so both take as it is, but SQLite gives it back as a number: whoever reads
it selects `with_numbers`.
"""
_row_type: Final[Callable[[str, Sequence[str]], Any]] = namedtuple


class Prepared:
    """A statement that `Rows` runs by the driver. TypeError at its first run where more is to be
    done for it than its values handed over: values of other types than numbers, texts and bytes,
    a parameter that stands for several, a default that is made for each row; and where values are
    missing, or for nothing.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._worded: dict[tuple[str, ...], Worded] = {}

    def worded(self, dialect: Dialect, values: Values) -> Worded:
        """It in the words of `dialect`, for parameters and columns of these names."""
        key = (dialect.name, *values)
        known = self._worded.get(key)
        if known is None:
            element = cast("ClauseElement", self._statement)
            compiled = cast("SQLCompiler", element.compile(dialect=dialect, column_keys=[*values]))
            known = self._worded[key] = Worded(compiled, values)
        return known


class Worded:
    """A statement as a driver takes it: its text, and its parameters in their order."""

    def __init__(self, compiled: SQLCompiler, values: Values) -> None:
        _require_given(compiled, values)
        _require_plain(compiled)
        self.sql = str(compiled)
        self._order = tuple(compiled.positiontup or ())
        self._fixed = {name: value for name, value in compiled.params.items() if name not in values}
        self._fixed |= {
            c.key: _default(c.default)
            for c in (*compiled.insert_prefetch, *compiled.update_prefetch)
        }
        self._row: Any = None

    def parameters(self, values: Values) -> Sequence[Any]:
        """What the driver is given for `values`."""
        every = {**self._fixed, **values}
        return [every[name] for name in self._order]

    def row(self, names: Callable[[], Sequence[str]]) -> Callable[[Sequence[Any]], Any]:
        """Makes a row of what was found, its members by their columns' `names`."""
        if self._row is None:
            self._row = _row_type("Row", names())
        return cast("Callable[[Sequence[Any]], Any]", self._row._make)


class Driver(Protocol):
    """The driver's connection behind SQLAlchemy's, for one transaction."""

    @property
    def dialect(self) -> Dialect:
        """In whose words statements go to it."""

    def run(self, statement: Prepared, values: Values) -> int:
        """Execute; how many rows it changed."""

    def all(self, statement: Prepared, values: Values) -> list[Any]:
        """Every row."""

    def one(self, statement: Prepared, values: Values) -> Any:
        """The first row, None where there is none."""

    def later(self, statement: Prepared, values: Values, check: Check | None) -> None:
        """Execute before anything that is executed from now on, and at the latest at the commit;
        `check` is told how many rows it changed.
        """

    def ahead(self, statement: Prepared, values: Values) -> Callable[[], Any]:
        """What gives `one` of it, as of some moment between now and then."""


class DriverOfFile:
    """SQLite's: whatever is asked is answered at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect
        self._there: Any = connection.connection.driver_connection

    def run(self, statement: Prepared, values: Values) -> int:
        """See `Driver.run`."""
        return self._executed(statement, values, lambda _, cursor: int(cursor.rowcount))

    def one(self, statement: Prepared, values: Values) -> Any:
        """See `Driver.one`."""
        return self._executed(statement, values, _first)

    def all(self, statement: Prepared, values: Values) -> list[Any]:
        """See `Driver.all`."""
        return self._executed(statement, values, _every)

    def later(self, statement: Prepared, values: Values, check: Check | None) -> None:
        """See `Driver.later`: now."""
        changed = self.run(statement, values)
        if check is not None:
            check(changed)

    def ahead(self, statement: Prepared, values: Values) -> Callable[[], Any]:
        """See `Driver.ahead`: when it is asked for."""
        return lambda: self.one(statement, values)

    def _executed(
        self, statement: Prepared, values: Values, take: Callable[[Worded, DBAPICursor], R]
    ) -> R:
        worded = statement.worded(self.dialect, values)
        parameters = worded.parameters(values)
        try:
            return take(worded, self._there.execute(worded.sql, parameters))
        except self.dialect.loaded_dbapi.Error as error:
            raise as_sqlalchemy(self.dialect, error, worded.sql, parameters, lost=False) from error


def as_sqlalchemy(
    dialect: Dialect, error: Exception, sql: str, parameters: Any, *, lost: bool
) -> DBAPIError:
    """What the driver raised, as SQLAlchemy says it; `lost`: with it went its connection."""
    raised = DBAPIError.instance(
        sql,
        parameters,
        error,
        dialect.loaded_dbapi.Error,
        connection_invalidated=lost,
        dialect=dialect,
    )
    assert isinstance(raised, DBAPIError)  # noqa: S101 - of the driver's own errors it is one
    return raised


def _first(worded: Worded, cursor: DBAPICursor) -> Any:
    found = cursor.fetchone()
    return _row(worded, cursor)(found) if found is not None else None


def _every(worded: Worded, cursor: DBAPICursor) -> list[Any]:
    return [*map(_row(worded, cursor), cursor.fetchall())]


def _row(worded: Worded, cursor: DBAPICursor) -> Callable[[Sequence[Any]], Any]:
    return worded.row(lambda: [column[0] for column in cursor.description or ()])


def _default(default: Any) -> Any:
    """A column's own value where none is given."""
    if not default.is_scalar:
        raise TypeError(f"a default that is a value was expected, {default!r} came")
    return default.arg


def _require_given(compiled: SQLCompiler, values: Values) -> None:
    """That there is a value for each name, and a name for each value."""
    missing = {name for name, bind in compiled.binds.items() if bind.required} - set(values)
    if wrong := missing | (set(values) - set(compiled.binds)):
        raise TypeError(f"values for its names were expected, {sorted(wrong)} are not: {compiled}")


def _require_plain(compiled: SQLCompiler) -> None:
    """That nothing has to be done to a value on its way in or out."""
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise TypeError(f"parameters of one value each were expected: {compiled}")
    types: list[TypeEngine[Any]] = [c.type for c in _exported(compiled)]
    other = [t for t in types if not isinstance(t, _PLAIN) or isinstance(t, Enum)]
    types = [bind.type for bind in compiled.binds.values()]
    if other := other + [t for t in types if not isinstance(t, _TAKEN) or isinstance(t, Enum)]:
        raise TypeError(f"numbers, texts and bytes were expected, {other!r} came: {compiled}")


def _exported(compiled: SQLCompiler) -> Sequence[ColumnElement[Any]]:
    return tuple(getattr(compiled.statement, "exported_columns", ()))


def with_numbers(table: Table) -> Select[Any]:
    """All of a table, columns that say whether something is so as numbers; PostgreSQL's driver says
    True and False all the same.
    """
    columns = (
        type_coerce(c, Integer).label(c.name) if isinstance(c.type, Boolean) else c for c in table.c
    )
    return select(*columns)
