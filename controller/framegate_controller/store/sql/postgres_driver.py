"""PostgreSQL's driver behind a transaction: what need not be answered yet goes with what must."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import psycopg
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from framegate_controller.store.sql.postgres_pipeline import Pipelined, Question
from framegate_controller.store.sql.prepared import Check, Prepared, Values, Worded, as_sqlalchemy

_WORDS: Final = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
"""As the server itself takes a statement: psycopg would look for its own marks at each run."""


class DriverOfServer:
    """See `Driver`."""

    dialect = _WORDS

    def __init__(self, connection: Connection) -> None:
        self._connection, self._there = connection, driver_of(connection)

    def run(self, statement: Prepared, values: Values) -> int:
        """See `Driver.run`."""
        worded = statement.worded(_WORDS, values)
        return self._asked(Question(worded.sql, worded.parameters(values))).rows

    def one(self, statement: Prepared, values: Values) -> Any:
        """See `Driver.one`."""
        found = self.all(statement, values)
        return found[0] if found else None

    def all(self, statement: Prepared, values: Values) -> list[Any]:
        """See `Driver.all`."""
        worded = statement.worded(_WORDS, values)
        return self._rows(worded, self._asked(Question(worded.sql, worded.parameters(values))))

    def later(self, statement: Prepared, values: Values, check: Check | None) -> None:
        """See `Driver.later`."""
        worded = statement.worded(_WORDS, values)
        question = Question(worded.sql, worded.parameters(values), check)
        if self._there.reads:
            self._asked(question)  # there is no commit with which it would go
        else:
            self._put(question)

    def ahead(self, statement: Prepared, values: Values) -> Callable[[], Any]:
        """See `Driver.ahead`: with what is asked next."""
        worded = statement.worded(_WORDS, values)
        asked = Question(worded.sql, worded.parameters(values))
        self._put(asked)
        return partial(self._first, worded, asked)

    def _first(self, worded: Worded, asked: Question) -> Any:
        if asked.answer is None:
            self._settled()
        found = self._rows(worded, asked)
        return found[0] if found else None

    def _rows(self, worded: Worded, asked: Question) -> list[Any]:
        return self._there.rows(asked, worded.row(partial(_names, asked)))

    def _asked(self, question: Question) -> Question:
        try:
            self._there.ask(question)
        except psycopg.Error as error:
            raise failed(self._connection, error) from error
        return question

    def _put(self, question: Question) -> None:
        try:
            self._there.later(question)
        except psycopg.Error as error:
            raise failed(self._connection, error) from error

    def _settled(self) -> None:
        try:
            self._there.settle()
        except psycopg.Error as error:
            raise failed(self._connection, error) from error


def driver_of(connection: Connection) -> Pipelined:
    """The driver's own connection behind SQLAlchemy's."""
    return cast("Pipelined", connection.connection.driver_connection)


def failed(connection: Connection, error: psycopg.Error) -> DBAPIError:
    """What the driver raised of its last question, as SQLAlchemy says it."""
    driver = driver_of(connection)
    asked = driver.failing
    return as_sqlalchemy(connection.dialect, error, asked.sql, asked.values, lost=driver.closed)


def _names(asked: Question) -> list[str]:
    result = asked.result
    return [(result.fname(i) or b"").decode() for i in range(result.nfields)]
