"""PostgreSQL as the place of a registry that several controllers share.

Whoever writes takes one advisory lock first, so the record's order is the order of turns, and no
append has to be tried again. Whoever reads has a snapshot and takes none. The time of a turn is the
database's: of controllers with different clocks none can put the record out of order, nor forget
what another still needs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final

import psycopg
from psycopg import errors
from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError, DBAPIError

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate_controller.registry_address import StoreAt, address_problems
from framegate_controller.store.engines import Begun
from framegate_controller.store.postgres_idle import Idle, NoneFree, lose
from framegate_controller.store.sql.postgres_driver import driver_of, failed
from framegate_controller.store.sql.postgres_pipeline import SNAPSHOT, Pipelined, Question
from framegate_host.secret_files import read_secret

LEAST_VERSION: Final = 150_000
"""PostgreSQL 15, Debian 12's: what is tested."""
READERS: Final = 16
"""Connections to read: more than there are threads of a controller that read at once."""
WRITERS: Final = 2
"""Connections to write: one has the turn, one comes back from it."""
BESIDE: Final = 4
"""Connections for what needs no turn: counts of tries, and what waits for an answer."""
CONNECT_S: Final = 5
WAIT_S: Final = 10
"""For a turn to write, and for a connection of the pool: a turn takes milliseconds, so somebody who
waits so long is better told.
"""
AWAY_S: Final = 5.0
"""How long a transaction that has not begun waits for a database that is away: a restart, or a
fail-over that is quick. After that whoever asked asks again.
"""
PAUSE_S: Final = 0.1
IDLE_MS: Final = 15_000
"""A controller that stands still in the middle of its turn loses it after so long."""
STATEMENT_MS: Final = 60_000
MIGRATION_MS: Final = 3_600_000
"""For a statement of a migration, and between two of them: what rewrites a large table, on a host
that does much else, takes minutes. Cut off sooner, it would begin anew at each start, for ever.
"""
TURN: Final = 0x4647_0001
"""The advisory lock of whoever writes: FG, 1."""
RUNNING: Final = 0x4647_0003
"""Shared by controllers that run, exclusive for whoever restores or moves a registry."""
_PLAIN: Final = frozenset({"C", "POSIX", "C.UTF-8", "C.utf8"})
"""Collations that order texts by their bytes, as the file does."""
_BEGIN: Final = "BEGIN"
_ITSELF: Final = ""
"""Of a statement that is its own transaction."""
_TURN: Final = (
    f"SELECT pg_advisory_xact_lock({TURN}),"
    " (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms"
)
_CREATE: Final = "createdb --template=template0 --encoding=UTF8 --locale=C NAME"
_HURRIES: Final = "SET synchronous_commit = off"
_WAITS: Final = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)
"""A server whose own setting is not to wait would lose, when it dies, what was answered."""


class PostgresEngines:
    """A database of PostgreSQL. Raises Unavailable, Refused."""

    def __init__(self, at: StoreAt) -> None:
        if problems := address_problems(at.address):
            raise Refused(problems)
        self.at = at
        self._writers = Idle(partial(self._connection, _WAITS), WRITERS)
        self._readers = Idle(self._connection, READERS)
        self._beside = Idle(partial(self._connection, _HURRIES), BESIDE)
        self._ending = Event()
        self._gone: DBAPIError | None = None

    def begin(self, *, writes: bool) -> Begun:
        """See `Engines.begin`. Raises Unavailable."""
        if writes:
            return self._begun(self._writers, _BEGIN, turn=True)
        return self._begun(self._readers, SNAPSHOT)

    def commit(self, connection: Connection) -> None:
        """See `Engines.commit`."""
        if connection.in_transaction():
            connection.commit()
            return
        driver = driver_of(connection)
        try:
            driver.commit()
        except psycopg.Error as error:
            raise failed(connection, error) from error

    def end(self, connection: Connection) -> None:
        """See `Engines.end`; one that is lost is not kept."""
        (self._writers if connection.engine is self._writers.engine else self._readers).take(
            connection
        )

    @contextmanager
    def aside(self) -> Iterator[Connection]:
        """A transaction beside the others, which waits for no turn and MUST touch nothing that they
        do. A crash of the database may lose it: that is what makes it cheap.
        """
        connection = self._begun(self._beside, _BEGIN).connection
        try:
            with self.ours():
                yield connection
                self.commit(connection)
        finally:
            self._beside.take(connection)

    def ask_aside(self, sql: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """See `ask`: of a statement that is such a transaction by itself."""
        connection = self._begun(self._beside, _ITSELF).connection
        try:
            with self.ours():
                return self.ask(connection, sql, values)
        finally:
            self._beside.take(connection)

    @staticmethod
    def ask(connection: Connection, sql: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """The first row that answers `sql`, `$1` in it for the first of `values`; None where there
        is none. Raises DBAPIError.
        """
        driver = driver_of(connection)
        try:
            driver.ask(asked := Question(sql, values))
        except psycopg.Error as error:
            raise failed(connection, error) from error
        rows: list[tuple[Any, ...]] = driver.rows(asked, tuple)
        return rows[0] if rows else None

    def _begun(self, idle: Idle, words: str, *, turn: bool = False) -> Begun:
        """Nothing was done so far, so whatever was lost can be begun again."""
        until_s = time.monotonic() + AWAY_S
        while True:
            if self._gone is not None:
                raise self._away(self._gone) from self._gone
            try:
                connection = idle.begun(words, WAIT_S)
                return Begun(connection, _turn(connection) if turn else None)
            except DBAPIError as error:
                if isinstance(error.orig, errors.LockNotAvailable):
                    raise _busy(f"the turn to write to {self.at}", error) from error
                if not _is_away(error) or time.monotonic() > until_s:
                    raise self._away(error) from error
                if self._ending.is_set():
                    self._gone = error
            except NoneFree as error:
                raise _busy(f"a connection to {self.at} that is free", error) from error
            self._ending.wait(PAUSE_S)

    @contextmanager
    def ours(self, *, ending: bool = False) -> Iterator[None]:
        """See `Engines.ours`. Raises Unavailable, Malformed."""
        try:
            yield
        except DataError as error:
            wanted = "texts without NUL, as long as their columns"
            raise Malformed.of(Reason.USAGE, wanted, _said(error)) from error
        except DBAPIError as error:
            if ending and _is_away(error):
                wanted, seen = f"{self.at} to commit", "its connection was lost: done or not done"
                hint = "look before you ask again; what was done stands in the record"
                raise Unavailable.of(Reason.UNAVAILABLE, wanted, seen, hint) from error
            if isinstance(error.orig, errors.QueryCanceled | errors.LockNotAvailable):
                raise _busy(f"an answer of {self.at}", error) from error
            if _is_away(error):
                raise self._away(error) from error
            raise

    def require_fit(self, connection: Connection) -> None:
        """See `Engines.require_fit`: 1. PostgreSQL 15 or later; 2. texts are UTF-8, and ordered by
        their bytes. Raises Refused (USAGE).
        """
        row = connection.execute(
            text(
                "SELECT current_setting('server_version_num')::int AS version,"
                " pg_encoding_to_char(encoding) AS encoding, datcollate AS collation"
                " FROM pg_database WHERE datname = current_database()"
            )
        ).one()
        if row.version < LEAST_VERSION:
            wanted = f"PostgreSQL {LEAST_VERSION // 10_000} or later at {self.at}"
            raise Refused.of(Reason.USAGE, wanted, row.version // 10_000)
        if row.encoding != "UTF8" or row.collation not in _PLAIN:
            wanted = f"a database in UTF8 with collation C at {self.at}"
            seen = f"{row.encoding}, {row.collation}"
            raise Refused.of(Reason.USAGE, wanted, seen, _CREATE)

    def take_time(self, connection: Connection) -> None:
        """See `Engines.take_time`; it ends with the transaction."""
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = {MIGRATION_MS}")

    def require_sound(self, connection: Connection) -> None:
        """See `Engines.require_sound`: that is the server's to see to, page by page as it reads
        them (its data checksums).
        """
        _ = connection

    def ending(self) -> None:
        """See `Engines.ending`."""
        self._ending.set()

    def close(self) -> None:
        """See `Engines.close`."""
        for idle in (self._writers, self._readers, self._beside):
            idle.close()

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of its own, outside every pool, each statement its own transaction. Raises
        psycopg.Error, Unavailable.
        """
        connection = psycopg.connect(**self._where())
        connection.autocommit = True
        return connection

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no controller runs on the database; as long as this lasts none begins. Raises
        Unavailable.
        """
        try:
            connection = self.connect()
        except psycopg.Error as error:
            hint = "systemctl status postgresql"
            wanted = f"the registry's database {self.at}"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, _first_line(error), hint) from error
        with connection:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (RUNNING,)).fetchone()
            yield row is not None and bool(row[0])

    def _connection(self, first: str = "") -> Pipelined:
        """One whose server was told `first`, which lasts."""
        # psycopg would have its server forget all that is prepared whenever something is undone
        connection = Pipelined.connect(**self._where(), prepare_threshold=None)
        if first:
            connection.execute(first)
            connection.commit()
        return connection

    def _where(self) -> dict[str, Any]:
        return {
            "conninfo": self.at.address,
            "password": _password(self.at.password_file),
            "client_encoding": "utf8",
            "application_name": "framegate-controller",
            "connect_timeout": CONNECT_S,
            "keepalives_idle": CONNECT_S,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": WAIT_S * 1000,
            "options": (
                f"-c lock_timeout={int(WAIT_S * 1000)} -c statement_timeout={STATEMENT_MS}"
                f" -c idle_in_transaction_session_timeout={IDLE_MS} -c timezone=UTC"
            ),
        }

    def _away(self, error: DBAPIError) -> Unavailable:
        wanted, hint = f"the registry's database {self.at}", "systemctl status postgresql"
        return Unavailable.of(Reason.UNAVAILABLE, wanted, _said(error), hint)


def _turn(connection: Connection) -> int:
    """Wait for the turn to write; the database's time (ms). Raises DBAPIError."""
    driver = driver_of(connection)
    try:
        driver.ask(turn := Question(_TURN))
        return int(driver.rows(turn, tuple)[0][1])
    except psycopg.Error as error:
        raised = failed(connection, error)
        lose(connection)
        raise raised from error
    except BaseException:
        lose(connection)
        raise


def _password(file: Path | None) -> str | None:
    """Read at every connection: a password may be changed while a controller runs. Raises
    Unavailable, Refused (USAGE) where everybody can read it.
    """
    if file is None:
        return None
    try:
        return read_secret(file).decode()
    except (OSError, UnicodeDecodeError) as error:
        wanted = f"the database's password in {file}"
        raise Unavailable.of(Reason.USAGE, wanted, type(error).__name__) from error


def _is_away(error: DBAPIError) -> bool:
    """Whether the database cannot be reached, or ended the connection."""
    return (
        error.connection_invalidated
        or isinstance(
            error.orig,
            errors.AdminShutdown
            | errors.CannotConnectNow
            | errors.CrashShutdown
            | errors.IdleInTransactionSessionTimeout
            | errors.TooManyConnections,
        )
        or (type(error.orig) is psycopg.OperationalError)
    )


def _busy(wanted: str, error: Exception) -> Unavailable:
    refused = Unavailable.of(Reason.UNAVAILABLE, wanted, f"none within {WAIT_S} s", "try again")
    refused.__cause__ = error
    return refused


def _said(error: DBAPIError) -> str:
    """The database's first line, without the statement and its values."""
    return _first_line(error.orig)


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or ["nothing"])[0][:160]
