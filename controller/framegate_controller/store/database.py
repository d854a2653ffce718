"""Open the registry's database and bring its schema up to date: a file of SQLite, or PostgreSQL.

Both have the same repositories, tables and migrations; `Engines` is all that differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from framegate.errors import Reason, Refused
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.engines import Engines, SqliteEngines
from framegate_controller.store.shared.clock import SharedClock
from framegate_controller.store.shared.tail import InMemoryTail
from framegate_controller.store.sql.transaction import SqlTransaction
from framegate_controller.store.turn import Turn

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_VERSION: Final = "alembic_version"


@dataclass(frozen=True, slots=True)
class SchemaSteps:
    """From which migration a registry comes, to which this version brings it, and by which."""

    present: str
    newest: str
    steps: tuple[str, ...]


def open_registry(path: Path, clock: Callable[[], int] | None = None) -> Database:
    """The registry in the file `path`, made where there is none, its schema brought up to date.

    `clock` gives milliseconds since the epoch, by default the system's. The
    file is its owner's alone.
    """
    return _opened(SqliteEngines(path), clock)


def open_store(at: StoreAt, clock: Callable[[], int] | None = None) -> Database:
    """The registry at `at`, likewise; where that is PostgreSQL the clock is by default the
    database's, as this host follows it. Raises Unavailable, Refused.
    """
    return _opened(engines_at(at), clock)


def engines_at(at: StoreAt) -> Engines:
    """What reaches the database at `at`. Raises Unavailable."""
    if not at.shared:
        return SqliteEngines(at.file)
    # psycopg is there where it is used: the extra `postgres`
    from framegate_controller.store.postgres import PostgresEngines  # noqa: PLC0415

    return PostgresEngines(at)


def _opened(engines: Engines, clock: Callable[[], int] | None) -> Database:
    try:
        begun = engines.begin(writes=True)
        with engines.ours(), begun.connection as connection:
            engines.require_fit(connection)
            if _require_known(_schema(connection)) != _newest():
                engines.take_time(connection)
                _migrate(connection)
            connection.commit()
    except BaseException:
        engines.close()
        raise
    database = Database(engines, clock)
    database.learn(begun.at_ms)
    return database


def _migrate(connection: Connection) -> None:
    """Bring the schema up to date in the connection's transaction: wholly, or not at all."""
    # a tenth of a start, which finds the schema as it should be
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _schema(connection: Connection) -> str:
    """Number of the last migration that was made, empty where there was none."""
    if not inspect(connection).has_table(_VERSION):
        return ""
    return str(connection.exec_driver_sql(f"SELECT version_num FROM {_VERSION}").scalar())


def _require_known(schema: str) -> str:
    """That this version has the migrations up to `schema`. Raises Refused (CONFLICT)."""
    if schema > _newest():
        hint = "install the version that made it, or one that is later; or restore a backup"
        wanted = f"a registry of schema {_newest()} or before, as this version knows"
        raise Refused.of(Reason.CONFLICT, wanted, f"schema {schema}", hint)
    return schema


def schema_steps(at: StoreAt) -> SchemaSteps:
    """What opening the registry at `at` would change of its schema; changes nothing. Raises Refused
    (CONFLICT) where a later version made it, Unavailable.
    """
    engines = engines_at(at)
    try:
        with engines.begin(writes=False).connection as connection, engines.ours():
            schema = _require_known(_schema(connection))
    finally:
        engines.close()
    files = sorted(path.stem for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    return SchemaSteps(schema, _newest(), tuple(f for f in files if f[:4] > schema))


def _newest() -> str:
    """Number of the newest migration: what every start would load all of them for."""
    return max(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


class Database:
    """An open registry (`ports.Store`), made by `open_registry` or `open_store`: `writing` waits
    for its turn and commits as a whole or not at all, `reading` waits for nobody.
    """

    def __init__(self, engines: Engines, clock: Callable[[], int] | None = None) -> None:
        self.engines = engines
        self._shared = SharedClock(now_ms) if clock is None else None
        self.clock: Callable[[], int] = self._shared or clock or now_ms
        # threads of one process queue here: SQLite lets who waits sleep, and look again
        self._tail, self._turn = InMemoryTail(), Turn()

    @property
    def path(self) -> Path:
        """The file of a registry that is one."""
        assert isinstance(self.engines, SqliteEngines)  # noqa: S101 - whoever asks opened a file
        return self.engines.path

    @contextmanager
    def writing(self, *, first: bool = False) -> Iterator[SqlTransaction]:
        """A transaction: committed at the end of the block, rolled back by any exception. `first`:
        it goes before all that wait in this process.
        """
        with self._turn.taken(first=first):
            begun = self.engines.begin(writes=True)
            connection = begun.connection
            try:
                with self.engines.ours():
                    tx = SqlTransaction(
                        connection, self._tail, self.learn(begun.at_ms), writes=True
                    )
                    yield tx
                with self.engines.ours(ending=True):
                    self.engines.commit(connection)
            finally:
                self._end(connection)
            tx.keep_tail()
        tx.committed()

    @contextmanager
    def reading(self) -> Iterator[SqlTransaction]:
        """A snapshot; what is written in it is refused by the database."""
        connection = self.engines.begin(writes=False).connection
        try:
            with self.engines.ours():
                yield SqlTransaction(connection, self._tail, self.clock())
        finally:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        """Give it back. Where it was lost by then, what was read or committed stands all the same,
        and its server has rolled the rest back.
        """
        with suppress(DBAPIError):
            self.engines.end(connection)

    def schema(self) -> str:
        """Number of the last migration that was made here."""
        with self.engines.begin(writes=False).connection as connection, self.engines.ours():
            return _schema(connection)

    def require_sound(self) -> None:
        """That all of it can be read. Raises Unavailable where something damaged it."""
        with self.engines.begin(writes=False).connection as connection, self.engines.ours():
            self.engines.require_sound(connection)

    def ending(self) -> None:
        """The program ends: nobody waits any more for a database that is away."""
        self.engines.ending()

    def close(self) -> None:
        """Close every connection."""
        self.engines.close()

    def learn(self, there_ms: int | None) -> int:
        """The database's clock says `there_ms`, None where it has none; the moment by the clock
        that counts.
        """
        if self._shared is None or there_ms is None:
            return self.clock()
        self._shared.learn(there_ms)
        return there_ms


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
