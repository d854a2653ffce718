"""What a kind of database gives to transactions, and the one that is a file: SQLite in WAL mode,
full durability, one writer at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, create_engine, event

from framegate_host.private_files import touch_private

_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=10000",
)


class Begun(NamedTuple):
    """A transaction that has begun and done nothing: its connection, and the database's time (ms),
    None where this host's counts.
    """

    connection: Connection
    at_ms: int | None


class Engines(Protocol):
    """Connections of one database."""

    def begin(self, *, writes: bool) -> Begun:
        """A transaction; to write, once it has the turn to. Whoever asked closes its connection.

        Tried again for a while where the database is away.
        """

    @contextmanager
    def ours(self, *, ending: bool = False) -> Iterator[None]:
        """What the database raises, as our errors; `ending`: while it was to commit."""

    def require_fit(self, connection: Connection) -> None:
        """That a registry can be kept here."""

    def close(self) -> None:
        """Close every connection."""


class SqliteEngines:
    """A file. Its errors stay SQLAlchemy's: a disk that is full is for the operator to read."""

    def __init__(self, path: Path) -> None:
        touch_private(path)
        self.path = path
        self._writers, self._readers = _engine(path, writes=True), _engine(path, writes=False)

    def begin(self, *, writes: bool) -> Begun:
        """See `Engines.begin`; BEGIN IMMEDIATE is the wait for the turn."""
        connection = (self._writers if writes else self._readers).connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return Begun(connection, None)

    @contextmanager
    def ours(self, *, ending: bool = False) -> Iterator[None]:
        """See `Engines.ours`."""
        _ = ending
        yield

    def require_fit(self, connection: Connection) -> None:
        """See `Engines.require_fit`: any file does."""
        _ = connection

    def close(self) -> None:
        """See `Engines.close`."""
        self._writers.dispose()
        self._readers.dispose()


def _engine(path: Path, *, writes: bool) -> Engine:
    engine = create_engine(f"sqlite:///{path}")
    begin = (
        "BEGIN IMMEDIATE" if writes else "BEGIN"
    )  # a reader that turns writer would otherwise fail instead of waiting

    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the BEGIN below is the only one
        for pragma in _PRAGMAS if writes else (*_PRAGMAS, "query_only=ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine
