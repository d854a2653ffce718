"""Connections to one database that nobody has now, and no more of them than so many at all.

Kept in our own hand as those to a file are: SQLAlchemy's pool takes longer for one to go and come
back than PostgreSQL for what is asked on it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from framegate_controller.store.sql.postgres_driver import driver_of, failed
from framegate_controller.store.sql.postgres_pipeline import Pipelined


class NoneFree(Exception):
    """All connections were in use for as long as somebody waits."""


class _Taken(NamedTuple):
    connection: Connection
    fresh: bool


class Idle:
    """At most `most` connections, each made by `connect`. Of any thread."""

    def __init__(self, connect: Callable[[], Pipelined], most: int) -> None:
        self._most = most
        self._idle: list[Connection] = []
        self._changed = Condition()
        self._open: set[int] = set()
        self._opening, self._over = 0, False
        self.engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
        event.listen(self.engine, "connect", self._opened)
        event.listen(self.engine, "close", self._closed)

    def begun(self, words: str, wait_s: float) -> Connection:
        """One in a transaction that `words` begin, once there is one; the one that came back last,
        so that what a crowd opened ends. Whoever has it gives it back by `take`, or closes it.
        Raises NoneFree, DBAPIError.
        """
        while True:
            connection, fresh = self._taken(wait_s)
            try:
                driver_of(connection).begin(words)
            except psycopg.Error as error:  # its server ended it while it was idle
                raised = failed(connection, error)
                lose(connection)
                if fresh:
                    raise raised from error
            except BaseException:
                lose(connection)
                raise
            else:
                return connection

    def take(self, connection: Connection) -> None:
        """One comes back, in whatever state, and what was not committed is undone. One that is lost
        takes the others with it that are idle: whoever asks from now on has a new one.
        """
        if connection.closed:
            return
        try:
            # a commit that failed left SQLAlchemy in a transaction that is none: it is ended, too
            connection.rollback()
            if not connection.invalidated:
                driver_of(connection).rollback()
        except (DBAPIError, psycopg.Error):
            pass  # its server has undone it
        except BaseException:
            lose(connection)
            raise
        if connection.invalidated or not driver_of(connection).good:
            lose(connection)
            self.clear()
            return
        with self._changed:
            if not self._over:
                self._idle.append(connection)
                self._changed.notify()
                return
        connection.close()

    def clear(self) -> None:
        """Close those that are idle."""
        while True:
            with self._changed:
                if not self._idle:
                    return
                connection = self._idle.pop()
            connection.close()

    def close(self) -> None:
        """Close those that are idle; the others are closed when they come back."""
        self._over = True
        self.clear()

    def _taken(self, wait_s: float) -> _Taken:
        with self._changed:
            if not self._idle and not self._changed.wait_for(self._free, wait_s):
                raise NoneFree
            if self._idle:
                return _Taken(self._idle.pop(), fresh=False)
            self._opening += 1
        try:
            return _Taken(self.engine.connect(), fresh=True)
        finally:
            with self._changed:
                self._opening -= 1
                self._changed.notify()

    def _free(self) -> bool:
        return bool(self._idle) or len(self._open) + self._opening < self._most

    def _opened(self, connection: Pipelined, _record: Any) -> None:
        with self._changed:
            self._open.add(id(connection))

    def _closed(self, connection: Pipelined, _record: Any) -> None:
        with self._changed:
            self._open.discard(id(connection))
            self._changed.notify()


def lose(connection: Connection) -> None:
    """Close one that is good for nothing."""
    connection.invalidate()
    connection.close()
