"""What a kind of database gives to transactions, and the one that is a file: SQLite in WAL mode,
full durability, one writer at a time.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from framegate.errors import Reason, Unavailable
from framegate_host.private_files import touch_private

_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=10000",
)
_MAKE_ROOM: Final = "nothing was changed; make room, it goes on by itself"
_MAKE_WRITABLE: Final = "nothing was changed; look at the disk, it goes on by itself"
_PUT_BACK: Final = (
    "nothing was changed; end the controller, put its folder back or begin again from a backup: "
    "framegate-controller restore BACKUP"
)
_RESTORE: Final = "framegate-controller restore BACKUP, into a folder of its own"
_AWAY: Final = MappingProxyType(
    {
        sqlite3.SQLITE_FULL: _MAKE_ROOM,
        sqlite3.SQLITE_IOERR: _MAKE_WRITABLE,
        sqlite3.SQLITE_CANTOPEN: _MAKE_WRITABLE,
        sqlite3.SQLITE_BUSY: "another process writes; try again",
        sqlite3.SQLITE_CORRUPT: _RESTORE,
        sqlite3.SQLITE_NOTADB: _RESTORE,
    }
)
"""What SQLite says of the disk, and not of us; and what to do."""
MOST_LOOKED_THROUGH: Final = 2 << 30
"""Bytes of a file that is looked through before it is served: some seconds of a start."""
MOST_IDLE: Final = 5
"""Connections that are kept, of readers and of writers: a controller has few threads that ask the
store at once, and each connection has a cache of two megabytes.
"""
_KIND: Final = 0xFF
"""Of an extended result code."""


class Begun(NamedTuple):
    """A transaction that has begun and done nothing: its connection, and the database's time (ms),
    None where this host's counts.
    """

    connection: Connection
    at_ms: int | None


class Engines(Protocol):
    """Connections of one database."""

    def begin(self, *, writes: bool) -> Begun:
        """A transaction; to write, once it has the turn to. Whoever asked gives its connection
        back by `end`, or closes it.

        Tried again for a while where the database is away.
        """

    def end(self, connection: Connection) -> None:
        """Give back what `begin` gave; what was not committed is rolled back."""

    @contextmanager
    def ours(self, *, ending: bool = False) -> Iterator[None]:
        """What the database raises, as our errors; `ending`: while it was to commit."""

    def require_fit(self, connection: Connection) -> None:
        """That a registry can be kept here."""

    def take_time(self, connection: Connection) -> None:
        """What follows in the connection's transaction may take long: it changes the schema."""

    def require_sound(self, connection: Connection) -> None:
        """That what is kept here can be read. Raises Unavailable."""

    def ending(self) -> None:
        """From now on nobody waits for a database that is away."""

    def close(self) -> None:
        """Close every connection."""


class SqliteEngines:
    """A file. What its disk does to it is said in words; SQLAlchemy's other errors stay what they
    are: faults of ours.
    """

    def __init__(self, path: Path) -> None:
        touch_private(path)
        self.path = path
        self._opened = self._identity()
        self._writers, self._readers = _Idle(path, writes=True), _Idle(path, writes=False)

    def begin(self, *, writes: bool) -> Begun:
        """See `Engines.begin`; BEGIN IMMEDIATE is the wait for the turn. Raises Unavailable, also
        where the file was removed or another one was put in its place: what was written into the
        one that is open would be said to be done, and be gone with this process.
        """
        if self._identity() != self._opened:
            wanted, seen = f"the registry's file {self.path}, as it was opened", "none, or another"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, seen, _PUT_BACK)
        with self._in_words({**_AWAY, sqlite3.SQLITE_READONLY: _MAKE_WRITABLE}):
            return Begun((self._writers if writes else self._readers).begun(), None)

    def end(self, connection: Connection) -> None:
        """See `Engines.end`."""
        (self._writers if connection.engine is self._writers.engine else self._readers).take(
            connection
        )

    def _identity(self) -> tuple[int, int]:
        """Which file stands there: device and inode; zeros where there is none."""
        try:
            there = self.path.stat()
        except OSError:
            return 0, 0
        return there.st_dev, there.st_ino

    @contextmanager
    def ours(self, *, ending: bool = False) -> Iterator[None]:
        """See `Engines.ours`. Raises Unavailable where the disk is full, away or damaged; what a
        reader tries to write stays SQLAlchemy's error.
        """
        _ = ending
        with self._in_words(_AWAY):
            yield

    @contextmanager
    def _in_words(self, hints: Mapping[int, str]) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            hint = hints.get(getattr(cause, "sqlite_errorcode", 0) & _KIND)
            if hint is None:
                raise
            wanted = f"the registry's file {self.path}"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, cause, hint) from error

    def require_fit(self, connection: Connection) -> None:
        """See `Engines.require_fit`: any file does."""
        _ = connection

    def take_time(self, connection: Connection) -> None:
        """See `Engines.take_time`: nobody counts it."""
        _ = connection

    def require_sound(self, connection: Connection) -> None:
        """See `Engines.require_sound`: each page, row and index by SQLite's own look at it, some
        tenths of a second for a hundred megabytes; a file of gigabytes is for `store check`.
        """
        if self.path.stat().st_size > MOST_LOOKED_THROUGH:
            return
        said = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        if said != "ok":
            wanted = f"the registry's file {self.path} whole"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, said.splitlines()[-1], _RESTORE)

    def ending(self) -> None:
        """See `Engines.ending`: nobody waits for a disk."""

    def close(self) -> None:
        """See `Engines.close`."""
        self._writers.close()
        self._readers.close()


class _Idle:
    """Connections to one file that nobody has now, each of its own: SQLAlchemy's pool takes longer
    for one to go and come back than SQLite for what is asked of it. Of any thread.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self.engine = _engine(path, writes=writes)
        self._idle: deque[Connection] = deque()
        self._closed = False

    def begun(self) -> Connection:
        """One in a transaction."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection

    def take(self, connection: Connection) -> None:
        """One comes back, in whatever state."""
        if self._closed or connection.closed or len(self._idle) >= MOST_IDLE:
            connection.close()
            return
        try:
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def clear(self) -> None:
        """Close those that are idle: whoever asks from now on has a new one."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def close(self) -> None:
        """Close those that are idle; the others are closed when they come back."""
        self._closed = True
        self.clear()


def _engine(path: Path, *, writes: bool) -> Engine:
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    begin = (
        "BEGIN IMMEDIATE" if writes else "BEGIN"
    )  # a reader that turns writer would otherwise fail instead of waiting

    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the BEGIN below is the only one
        for pragma in _PRAGMAS if writes else (*_PRAGMAS, "query_only=ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begun(connection: Any) -> None:
        # past SQLAlchemy, which would take longer for it than all else that begins
        connection.connection.driver_connection.execute(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine
