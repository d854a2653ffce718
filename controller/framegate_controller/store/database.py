"""Open the registry's database and bring its schema up to date. SQLite by default: WAL, full durability, one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session, sessionmaker

from framegate_controller.store.tables import Revision


class Database:
    """An open registry; `transaction` gives a session that commits as a whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.engine = create_engine(self.url)
        event.listen(self.engine, "connect", _connected)
        event.listen(self.engine, "begin", _begun)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        path.chmod(0o600)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        with self.transaction() as session:
            if session.get(Revision, 1) is None:
                session.add(Revision(id=1, value=0))

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, rolled back by any exception."""
        with self._sessions() as session, session.begin():
            yield session

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _connected(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's BEGIN below is the only one
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begun(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # a reader that turns writer would otherwise fail instead of waiting
