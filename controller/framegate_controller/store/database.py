"""Open the registry's database and bring its schema up to date. SQLite by default: WAL, full
durability, one writer at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event

from framegate_controller.store.shared.tail import InMemoryTail
from framegate_controller.store.sql.transaction import SqlTransaction
from framegate_host.private_files import touch_private


def open_registry(path: Path, clock: Callable[[], int] | None = None) -> Database:
    """The registry at `path`, made where there is none, its schema brought up to date.

    `clock` gives milliseconds since the epoch, by default the system's. The
    file is its owner's alone.
    """
    touch_private(path)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    writers = _engine(path, writes=True)
    with writers.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return Database(path, clock or now_ms, writers)


class Database:
    """An open registry (`ports.Store`), made by `open_registry`: `writing` waits for its turn and
    commits as a whole or not at all, `reading` waits for nobody.
    """

    def __init__(self, path: Path, clock: Callable[[], int], writers: Engine) -> None:
        self.path, self.clock = path, clock
        self._writers, self._readers = writers, _engine(path, writes=False)
        # threads of one process queue here: SQLite lets who waits sleep, and look again
        self._tail, self._turn = InMemoryTail(), Lock()

    @contextmanager
    def writing(self) -> Iterator[SqlTransaction]:
        """A transaction: committed at the end of the block, rolled back by any exception."""
        with self._turn:
            with self._writers.begin() as connection:
                tx = SqlTransaction(connection, self._tail, self.clock())
                yield tx
            tx.keep_tail()
        tx.committed()

    @contextmanager
    def reading(self) -> Iterator[SqlTransaction]:
        """A snapshot; what is written in it is refused by the database."""
        with self._readers.begin() as connection:
            yield SqlTransaction(connection, self._tail, self.clock())

    def close(self) -> None:
        """Close every connection."""
        self._writers.dispose()
        self._readers.dispose()


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _engine(path: Path, *, writes: bool) -> Engine:
    engine = create_engine(f"sqlite:///{path}")
    pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"]
    begin = (
        "BEGIN IMMEDIATE" if writes else "BEGIN"
    )  # a reader that turns writer would otherwise fail instead of waiting

    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the BEGIN below is the only one
        for pragma in pragmas if writes else [*pragmas, "query_only=ON"]:
            connection.execute(f"PRAGMA {pragma}")

    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine
