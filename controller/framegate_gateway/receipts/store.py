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
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate.errors import Reason, Unavailable
from framegate_gateway.receipts.batch_rows import (
    BatchRow,
    stored_batches,
    write_batch,
    write_proof,
)
from framegate_gateway.receipts.rows import LeafRow, LeafWriter, stored_leaves
from framegate_gateway.receipts.schema import bring_up
from framegate_host.file_lock import hold
from framegate_host.private_files import private_folder, touch_private
from framegate_host.sqlite_file import open_sqlite

MAX_GROUP: Final = 512
"""Leaves of one commit: some ten milliseconds of inserts at most."""


@dataclass(frozen=True, slots=True)
class _Task:
    """`write` runs in the store's thread and transaction; `done` is told once that is on disk."""

    write: Callable[[], object]
    done: asyncio.Future[None] | None


@dataclass(frozen=True, slots=True)
class Unbatched:
    """`leaves` in no batch yet, and the batch they come after, if any."""

    leaves: Sequence[LeafRow]
    last: BatchRow | None


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
        bring_up(self._connection)
        self._leaves = LeafWriter(self._connection)
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
        self._queue.put(_Task(lambda: self._leaves.write(row), done))
        await done
        self.appended.set()

    def opened(self, session: bytes, device: str, certificate: bytes, at_ms: int) -> None:
        """A frame session began under this certificate of the camera's; nobody waits for it to be
        written.
        """
        statement = (
            "INSERT OR IGNORE INTO sessions (session, device, certificate, opened_ms) VALUES"
            " (?,?,?,?)"
        )
        values = (session, device, certificate, at_ms)
        self._queue.put(_Task(lambda: self._connection.execute(statement, values), None))

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
        values = (len(tree) // 32, head, signature, tree, session, device)
        self._queue.put(_Task(lambda: self._connection.execute(statement, values), done))
        await done

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection of one's own for one reader, in any thread."""
        return closing(open_sqlite(self.path))

    def unbatched(self, most: int) -> Unbatched:
        """The oldest leaves in no batch yet, at most `most`, and the batch they come after."""
        with self.reading() as connection:
            last = next(stored_batches(connection, "ORDER BY batches.number DESC LIMIT 1"), None)
            first = last.end if last else 1
            end = self.orphans_end if first <= self.orphans_end else first + most
            where = "WHERE leaves.number >= ? AND leaves.number <= ? ORDER BY leaves.number LIMIT ?"
            return Unbatched(list(stored_leaves(connection, where, (first, end, most))), last)

    def add_batch(
        self, number: int, first: int, count: int, payload: bytes, envelope: bytes
    ) -> None:
        """Keep a signed batch. Blocks; call from a thread."""
        with self.writing() as connection:
            write_batch(connection, BatchRow(number, first, count, payload, envelope, None))

    def unlogged(self) -> list[BatchRow]:
        """The oldest batches that are not in the controller's log."""
        with self.reading() as connection:
            where = "WHERE log IS NULL ORDER BY first LIMIT 64"
            return list(stored_batches(connection, where))

    def count_unlogged(self) -> int:
        """How many batches are not in the controller's log. Blocks."""
        with self.reading() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM batches WHERE log IS NULL"
            ).fetchone()
            return int(count)

    def add_log(self, number: int, proof: Mapping[str, Any]) -> None:
        """Keep the log's proof of a batch, as its receipts have it."""
        with self.writing() as connection:
            write_proof(connection, number, proof)

    def forget_logs(self, index: int) -> int:
        """Of batches whose entry in the controller's record is `index` or later, forget its proof,
        as that record lost them; how many those are. Blocks.
        """
        with self.writing() as connection:
            return connection.execute(
                "UPDATE batches SET log = NULL, log_index = NULL, log_shared = NULL"
                " WHERE log_index >= ?",
                (index,),
            ).rowcount

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction of a thread that is not the store's own."""
        with self.reading() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

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
                self._connection.execute("BEGIN IMMEDIATE")
                for task in tasks:
                    task.write()
        except (sqlite3.Error, zlib.error, ValueError) as error:
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
