"""A signed record with its heads."""

import base64
import contextlib
import json
import sqlite3
import time

import pytest

from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.record.machine_events import DeviceMoved
from framegate.record.verify import FORMAT, LogAnchor
from framegate.record.witness import head_line
from framegate_controller.record.ledger import checkpoint
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import EntryQuery
from support.clock import TickingClock
from support.founded import found_registry

HEADS_AT = (7, 20)


def quarantined(number: int = 0, why: str = "", device: str = "") -> DeviceMoved:
    return DeviceMoved(
        device=device,
        edge=Edge.QUARANTINE,
        before=State.TRUSTED,
        after=State.QUARANTINED,
        why=why or f"entry {number}",
    )


class Log:
    """A log with `size` entries in a store, signed at `HEADS_AT` and at its end."""

    def __init__(self, path, keys, size: int = 33) -> None:
        self.began = time.time_ns() // 1_000_000
        self.clock = TickingClock(self.began - 1)
        self.database, self.keys = open_registry(found_registry(path), self.clock), keys
        self.heads: list[bytes] = []
        for number in range(size):
            with self.database.writing() as tx:
                tx.record(
                    quarantined(number, device=f"camera.line-1.cam{number % 3}"), by="operator.anna"
                )
                if number + 1 in HEADS_AT or number + 1 == size:
                    self.heads.append(checkpoint(tx, keys))

    @property
    def entries(self) -> list[bytes]:
        with self.database.reading() as tx:
            return [
                e.entry
                for e in tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=1000)
            ]

    def sql(self, *statements: str) -> None:
        """What somebody with the database's file does behind the controller's back."""
        with contextlib.closing(sqlite3.connect(self.database.path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def export(self, entries=None, heads=None, count: int | None = None) -> list[bytes]:
        chosen = self.entries if entries is None else entries
        head = json.dumps(
            {"format": FORMAT, "fleet": "plant", "entries": len(chosen) if count is None else count}
        ).encode()
        return [head, *chosen, *(head_line(h) for h in (self.heads if heads is None else heads))]

    @property
    def anchor(self) -> LogAnchor:
        return LogAnchor(root=self.keys.root.certificate)


@pytest.fixture(scope="module")
def signed_log(tmp_path_factory, keys):
    """One signed log for all tests of a module, which change no more than copies of its lines."""
    log = Log(tmp_path_factory.mktemp("log") / "registry.db", keys)
    yield log
    log.database.close()


@pytest.fixture
def own_log(tmp_path, keys):
    """A signed log of this test alone."""
    log = Log(tmp_path / "registry.db", keys)
    yield log
    log.database.close()


def payload(envelope: bytes) -> bytes:
    return base64.b64decode(json.loads(envelope)["payload"])
