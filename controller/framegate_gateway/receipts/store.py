"""Leaves on disk before their verdict leaves. One SQLite file, one thread that commits whatever has
gathered while it was committing.

Group commit costs the frame path a queue and a wake-up; the disk's own time is waited for outside
the event loop. A store that once failed to commit takes nothing more, because its numbers would
have a gap: the gateway then says UNINSPECTED until it is started again.
"""

from __future__ import annotations

import asyncio
import os
import queue
import secrets
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate.errors import Reason, Unavailable
from framegate_host.file_lock import hold
from framegate_host.private_files import private_folder, touch_private
from framegate_host.sqlite_file import open_sqlite

MAX_GROUP: Final = 512
"""Leaves of one commit: some ten milliseconds of inserts at most."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leaves (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, device TEXT NOT NULL,
    session BLOB NOT NULL, counter INTEGER NOT NULL,
    part TEXT NOT NULL, outcome TEXT NOT NULL, at_ms INTEGER NOT NULL, leaf BLOB NOT NULL,
    payload BLOB NOT NULL, metadata BLOB NOT NULL, envelope BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS leaves_by_part ON leaves (part) WHERE part <> '';
CREATE INDEX IF NOT EXISTS leaves_by_device ON leaves (device, at_ms);
CREATE INDEX IF NOT EXISTS leaves_of_device ON leaves (device);
CREATE INDEX IF NOT EXISTS leaves_by_session ON leaves (session, counter);
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY, first INTEGER NOT NULL, count INTEGER NOT NULL,
    payload BLOB NOT NULL, envelope BLOB NOT NULL, log TEXT);
CREATE INDEX IF NOT EXISTS batches_by_first ON batches (first);
CREATE INDEX IF NOT EXISTS batches_unlogged ON batches (first) WHERE log IS NULL;
CREATE TABLE IF NOT EXISTS sessions (
    session BLOB PRIMARY KEY, device TEXT NOT NULL, certificate BLOB NOT NULL,
    opened_ms INTEGER NOT NULL, count INTEGER NOT NULL DEFAULT 0, head BLOB, signature BLOB,
    tree BLOB);
CREATE TABLE IF NOT EXISTS usage (
    device TEXT PRIMARY KEY, bytes INTEGER NOT NULL, pruned INTEGER NOT NULL DEFAULT 0);
CREATE TRIGGER IF NOT EXISTS leaf_counts AFTER INSERT ON leaves WHEN NEW.kind IN ('verdict', 'gap')
BEGIN
    INSERT INTO usage (device, bytes) VALUES (NEW.device, length(NEW.leaf) + length(NEW.payload)
        + length(NEW.metadata) + length(NEW.envelope))
    ON CONFLICT (device) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER IF NOT EXISTS leaf_goes AFTER UPDATE OF kind ON leaves WHEN NEW.kind = 'pruned'
BEGIN
    UPDATE usage SET bytes = bytes - length(OLD.leaf) - length(OLD.payload)
        - length(OLD.metadata) - length(OLD.envelope) WHERE device = OLD.device;
END;
"""
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class LeafRow:
    """One leaf and what is kept beside it; `envelope` is the signed verdict as it left, empty for
    events.
    """

    number: int
    id: str
    kind: str
    device: str
    session: bytes
    counter: int
    part: str
    outcome: str
    at_ms: int
    leaf: bytes
    payload: bytes = b""
    metadata: bytes = b""
    envelope: bytes = b""


@dataclass(frozen=True, slots=True)
class _Task:
    statement: str
    values: tuple[Any, ...]
    done: asyncio.Future[None] | None


_INSERT_LEAF: Final = "INSERT INTO leaves VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"


@dataclass(frozen=True, slots=True)
class LastBatch:
    """The latest batch: its number, the number of the first leaf after it, its payload."""

    number: int
    end: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Unbatched:
    """`leaves` in no batch yet as (number, leaf), and the batch they come after, if any."""

    leaves: Sequence[tuple[int, bytes]]
    last: LastBatch | None


class ReceiptStore:
    """The receipts of one gateway host, in `folder`. One process at a time; raises Unavailable
    where another holds it.
    """

    def __init__(self, folder: Path) -> None:
        private_folder(folder)
        self.path = folder / "receipts.db"
        try:
            self._lock = hold(folder / "receipts.lock")
        except BlockingIOError as error:
            raise Unavailable.of(
                Reason.RECEIPT,
                f"{folder} for this process alone",
                "another gateway process has it",
                "stop it, or choose another --state folder",
            ) from error
        touch_private(self.path)
        self._connection = open_sqlite(self.path)
        self._connection.executescript(_SCHEMA)
        with self._connection:
            self._count_usage()
            self._connection.execute(
                "INSERT OR IGNORE INTO meta VALUES ('store', ?)", (secrets.token_hex(16),)
            )
        self.id: str = self._connection.execute(
            "SELECT value FROM meta WHERE name = 'store'"
        ).fetchone()[0]
        self.last = int(
            self._connection.execute(
                "SELECT max((SELECT coalesce(max(number), 0) FROM leaves),"
                " (SELECT coalesce(max(first + count) - 1, 0) FROM batches))"
            ).fetchone()[0]
        )
        self.orphans_end = self.last
        """Leaves up to this number were here when the process started: those not in a batch yet are
        another process's, to be marked recovered.
        """
        self.failed = ""
        self.appended = asyncio.Event()
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_forever, name="receipts", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread.start()

    def _count_usage(self) -> None:
        """Count once what a store kept before usage was counted."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == _VERSION:
            return
        self._connection.execute("DELETE FROM usage")
        self._connection.execute(
            "INSERT INTO usage (device, bytes) SELECT device, sum(length(leaf) + length(payload)"
            " + length(metadata) + length(envelope)) FROM leaves WHERE kind IN ('verdict', 'gap')"
            " GROUP BY device"
        )
        self._connection.execute(f"PRAGMA user_version = {_VERSION}")

    def next_number(self) -> int:
        """The number of the next leaf, which the caller MUST append. Raises Unavailable (RECEIPT)
        where the store has failed.
        """
        if self.failed:
            raise Unavailable.of(
                Reason.RECEIPT,
                "a store that keeps receipts",
                self.failed,
                "free the disk, then start the gateway again",
            )
        self.last += 1
        return self.last

    async def append(self, row: LeafRow) -> None:
        """Keep a leaf; returns once it would survive a power cut. Raises Unavailable (RECEIPT)."""
        self._loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = self._loop.create_future()
        values = (
            row.number,
            row.id,
            row.kind,
            row.device,
            row.session,
            row.counter,
            row.part,
            row.outcome,
            row.at_ms,
            row.leaf,
            row.payload,
            row.metadata,
            row.envelope,
        )
        self._queue.put(_Task(_INSERT_LEAF, values, done))
        await done
        self.appended.set()

    def opened(self, session: bytes, device: str, certificate: bytes, at_ms: int) -> None:
        """A frame session began under this certificate of the camera's; nobody waits for it to be
        written.
        """
        self._queue.put(
            _Task(
                "INSERT OR IGNORE INTO sessions (session, device, certificate, opened_ms) VALUES"
                " (?,?,?,?)",
                (session, device, certificate, at_ms),
                None,
            )
        )

    async def take_head(
        self, session: bytes, device: str, head: bytes, signature: bytes, tree: bytes
    ) -> None:
        """Keep a camera's head over a session; the first one stays. The caller MUST have verified
        it.
        """
        self._loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = self._loop.create_future()
        statement = (
            "UPDATE sessions SET count = ?, head = ?, signature = ?, tree = ? WHERE session = ? AND"
            " device = ? AND head IS NULL"
        )
        self._queue.put(
            _Task(statement, (len(tree) // 32, head, signature, tree, session, device), done)
        )
        await done

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection of one's own for one reader, in any thread."""
        return closing(open_sqlite(self.path))

    def unbatched(self, most: int) -> Unbatched:
        """The oldest leaves in no batch yet, at most `most`, and the batch they come after."""
        with self.reading() as connection:
            row = connection.execute(
                "SELECT number, first + count, payload FROM batches ORDER BY number DESC LIMIT 1"
            ).fetchone()
            last = LastBatch(*row) if row else None
            first = last.end if last else 1
            end = self.orphans_end if first <= self.orphans_end else first + most
            rows = connection.execute(
                "SELECT number, leaf FROM leaves WHERE number >= ? AND number <= ? ORDER BY number"
                " LIMIT ?",
                (first, end, most),
            ).fetchall()
            return Unbatched(rows, last)

    def add_batch(
        self, number: int, first: int, count: int, payload: bytes, envelope: bytes
    ) -> None:
        """Keep a signed batch. Blocks; call from a thread."""
        with self.reading() as connection, connection:
            connection.execute(
                "INSERT INTO batches VALUES (?,?,?,?,?,NULL)",
                (number, first, count, payload, envelope),
            )

    def unlogged(self) -> list[tuple[int, bytes]]:
        """(number, envelope) of the oldest batches that are not in the controller's log."""
        with self.reading() as connection:
            return connection.execute(
                "SELECT number, envelope FROM batches WHERE log IS NULL ORDER BY number LIMIT 64"
            ).fetchall()

    def count_unlogged(self) -> int:
        """How many batches are not in the controller's log. Blocks."""
        with self.reading() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM batches WHERE log IS NULL"
            ).fetchone()
            return int(count)

    def add_log(self, number: int, proof: str) -> None:
        """Keep the log's proof of a batch."""
        with self.reading() as connection, connection:
            connection.execute("UPDATE batches SET log = ? WHERE number = ?", (proof, number))

    def forget_logs(self, index: int) -> int:
        """Of batches whose entry in the controller's record is `index` or later, forget its proof,
        as that record lost them; how many those are. Blocks.
        """
        with self.reading() as connection, connection:
            return connection.execute(
                "UPDATE batches SET log = NULL WHERE log IS NOT NULL"
                " AND json_extract(log, '$.index') >= ?",
                (index,),
            ).rowcount

    def close(self) -> None:
        """Commit what waits and let go of the file."""
        self._queue.put(None)
        self._thread.join(10)
        self._connection.close()
        os.close(self._lock)

    def _commit_forever(self) -> None:
        ended = False
        while not ended:
            tasks: list[_Task] = []
            task = self._queue.get()
            while True:
                if task is None:
                    ended = True
                    break
                tasks.append(task)
                if len(tasks) == MAX_GROUP:
                    break
                try:
                    task = self._queue.get_nowait()
                except queue.Empty:
                    break
            if tasks:
                self._commit(tasks)

    def _commit(self, tasks: Sequence[_Task]) -> None:
        problem = ""
        try:
            with self._connection:
                for task in tasks:
                    self._connection.execute(task.statement, task.values)
        except sqlite3.Error as error:
            problem = self.failed = f"{type(error).__name__}: {error}"
        waiting = [t.done for t in tasks if t.done is not None]
        if waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_finish, waiting, problem)


def _finish(waiting: Sequence[asyncio.Future[None]], problem: str) -> None:
    for future in waiting:
        if future.done():
            continue
        if problem:
            future.set_exception(
                Unavailable.of(
                    Reason.RECEIPT,
                    "a leaf on disk before its verdict leaves",
                    problem,
                    "free the disk, then start the gateway again",
                )
            )
        else:
            future.set_result(None)
