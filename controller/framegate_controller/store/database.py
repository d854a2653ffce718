"""Open the registry's database and bring its schema up to date. SQLite by default: WAL, full durability, one writer at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

from framegate_controller.store.shared.tail import InMemoryTail
from framegate_controller.store.sql.transaction import SqlTransaction


class Database:
    """An open registry (`ports.Store`): `writing` waits for its turn and commits as a whole or not at all, `reading` waits for nobody."""

    def __init__(self, path: Path, clock: Callable[[], int] | None = None) -> None:
        self.url = f"sqlite:///{path}"
        self.clock = clock or now_ms
        self.engine, self._readers = _engine(self.url, writes=True), _engine(self.url, writes=False)
        self._tail = InMemoryTail()
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        path.chmod(0o600)
        self._writing = sessionmaker(self.engine, expire_on_commit=False)
        self._reading = sessionmaker(self._readers, expire_on_commit=False)

    @contextmanager
    def writing(self) -> Iterator[SqlTransaction]:
        """A transaction: committed at the end of the block, rolled back by any exception."""
        with self._writing() as session:
            with session.begin():
                tx = SqlTransaction(session, self._tail, self.clock())
                session.info["tx"] = tx
                yield tx
            tx.log.committed()

    @contextmanager
    def reading(self) -> Iterator[SqlTransaction]:
        """A snapshot; what is written in it is refused by the database."""
        with self._reading() as session, session.begin():
            yield SqlTransaction(session, self._tail, self.clock())

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """The session of a writing transaction."""
        with self.writing() as tx:
            yield tx.sql

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self._readers.dispose()


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _engine(url: str, *, writes: bool) -> Engine:
    made = create_engine(url)
    pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"]
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"  # a reader that turns writer would otherwise fail instead of waiting

    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the BEGIN below is the only one
        for pragma in pragmas if writes else [*pragmas, "query_only=ON"]:
            connection.execute(f"PRAGMA {pragma}")

    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    event.listen(made, "connect", connected)
    event.listen(made, "begin", begun)
    return made
