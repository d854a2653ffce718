"""Leaves on disk before their verdict leaves. One SQLite file, one thread that commits whatever has
gathered while it was committing.

Group commit costs the frame path a queue and a wake-up; the disk's own time is waited for outside
the event loop. A store that failed to commit takes nothing of what waits, because its numbers would
have a gap: the gateway says UNINSPECTED, until `AGAIN_S` later it goes on from what is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
import time
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
from framegate_gateway.receipts.rows import COMING, LeafRow, LeafWriter, settle, stored_leaves
from framegate_gateway.receipts.schema import bring_up
from framegate_host.file_lock import hold
from framegate_host.private_files import private_folder
from framegate_host.sqlite_file import open_sqlite, opening, require_sound

log = logging.getLogger(__name__)
MAX_GROUP: Final = 512
"""Leaves of one commit: some ten milliseconds of inserts at most."""
MAX_WAITING: Final = 4_096
"""What waits for the disk at a time, some kilobytes each: more than sixty cameras have in flight. A
disk that hangs answers nobody, and cameras that come again leave more behind each time.
"""
JOURNAL_PAGES: Final = 256
"""Pages of SQLite's journal (WAL) after which it goes into the file and is written anew from its
start. A flush of a journal that grows costs the file system's own journal one more: a second's
leaves, and it grows no more.
"""
MAX_UNLOGGED: Final = 64
"""Batches that are handed to the log at a time."""
MAX_AGAIN: Final = 1_000
"""Beginnings of sessions that wait for a disk that failed: more than its cameras' in a day."""
AGAIN_S: Final = 1.0
"""How soon after a commit that failed the next is tried: a disk that is full fails at once, and
each try costs the frame that it is for its inspection.
"""


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
        try:
            with opening(self.path, Reason.RECEIPT):
                self._connection = open_sqlite(self.path)
                require_sound(self._connection, self.path, Reason.RECEIPT)
                self._connection.execute(f"PRAGMA wal_autocheckpoint = {JOURNAL_PAGES}")
                bring_up(self._connection)
        except BaseException:
            os.close(self._lock)
            raise
        self._leaves = LeafWriter(self._connection)
        self.id: str = self._connection.execute(
            "SELECT value FROM meta WHERE name = 'store'"
        ).fetchone()[0]
        self.last = _last(self._connection)
        self.orphans_end = self.last
        """Leaves up to this number were here when the process started: those not in a batch yet are
        another process's, to be marked recovered.
        """
        self.signing = threading.Lock()
        """Of who makes a batch: each names the one before."""
        self.failed = ""
        self._failed_s, self._owed = 0.0, 0
        self._again: list[_Task] = []
        self.appended = asyncio.Event()
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_forever, name="receipts", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread.start()

    def next_number(self) -> int:
        """The number of the next leaf, which the caller MUST append. Raises Unavailable (RECEIPT)
        where the store has failed and was not tried again since, or too much waits for its disk.
        """
        self._require_room()
        if self.failed and not self._tried_again():
            raise Unavailable.of(
                Reason.RECEIPT,
                "a store that keeps receipts",
                self.failed,
                "free the disk; the gateway goes on by itself",
            )
        self.last += 1
        self._owed += 1
        return self.last

    def _require_room(self) -> None:
        waiting = self._queue.qsize()
        if waiting >= MAX_WAITING:
            raise Unavailable.of(
                Reason.RECEIPT,
                f"a disk that has at most {MAX_WAITING} receipts to write",
                waiting,
                "look at the disk: it hangs, or is too slow; the gateway goes on by itself",
            )

    def _tried_again(self) -> bool:
        """Go on from what is on the disk, once nobody waits for a number that is not."""
        if self._owed or time.monotonic() < self._failed_s + AGAIN_S:
            return False
        try:
            with self.reading() as connection:
                self.last = _last(connection)
        except sqlite3.Error as error:
            self._fail(error)
            return False
        self.failed = ""
        return True

    def _fail(self, error: Exception) -> str:
        self._failed_s, self.failed = time.monotonic(), f"{type(error).__name__}: {error}"
        return self.failed

    async def append(self, row: LeafRow) -> None:
        """Keep a leaf; returns once it would survive a power cut. Raises Unavailable (RECEIPT)."""
        self._loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(_Task(lambda: self._leaves.write(row), done))
        try:
            await asyncio.shield(done)  # whoever stops waiting leaves it on its way
        finally:
            if done.done():
                self._owed -= 1
            else:
                done.add_done_callback(self._paid)
        self.appended.set()

    def _paid(self, done: asyncio.Future[None]) -> None:
        self._owed -= 1
        if not done.cancelled():
            done.exception()  # nobody waits for it any more

    def opened(self, session: bytes, device: str, certificate: bytes, at_ms: int) -> None:
        """A frame session began under this certificate of the camera's; nobody waits for it to be
        written. Raises Unavailable (RECEIPT) where too much waits already.
        """
        self._require_room()
        statement = (
            "INSERT OR IGNORE INTO sessions (session, device, certificate, opened_ms) VALUES"
            " (?,?,?,?)"
        )
        values = (session, device, certificate, at_ms)
        self._queue.put(_Task(lambda: self._connection.execute(statement, values), None))

    def recertified(self, session: bytes, certificate: bytes, begins_ms: int) -> None:
        """The camera has a later certificate for the same key: where it counts from `begins_ms` on,
        no later than the session began, receipts name it. The one that the session began under may
        end before its last frame. Raises Unavailable (RECEIPT) where too much waits already.
        """
        self._require_room()
        statement = (
            "UPDATE sessions SET certificate = ? WHERE session = ? AND opened_ms >= ? AND head IS"
            " NULL"
        )
        values = (certificate, session, begins_ms)
        self._queue.put(_Task(lambda: self._connection.execute(statement, values), None))

    async def take_head(
        self, session: bytes, device: str, head: bytes, signature: bytes, tree: bytes
    ) -> None:
        """Keep a camera's head over a session; the first one stays. The caller MUST have verified
        it. Raises Unavailable (RECEIPT).
        """
        self._require_room()
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
        """The oldest leaves in no batch yet, at most `most`, and the batch they come after. Settles
        what has come. Blocks.
        """
        self.settle()
        with self.reading() as connection:
            last = next(stored_batches(connection, "ORDER BY batches.number DESC LIMIT 1"), None)
            first = last.end if last else 1
            end = self.orphans_end if first <= self.orphans_end else first + most
            where = "WHERE leaves.number >= ? AND leaves.number <= ? ORDER BY leaves.number LIMIT ?"
            return Unbatched(list(stored_leaves(connection, where, (first, end, most))), last)

    def settle(self) -> None:
        """Give leaves that came their place, where readers look. Blocks."""
        with self.reading() as connection:
            some = connection.execute(f"SELECT 1 FROM {COMING} LIMIT 1").fetchone()
        if some is not None:
            with self.writing() as connection:
                settle(connection)

    def add_batch(
        self, number: int, first: int, count: int, payload: bytes, envelope: bytes
    ) -> None:
        """Keep a signed batch. Blocks; call from a thread."""
        with self.writing() as connection:
            write_batch(connection, BatchRow(number, first, count, payload, envelope, None))

    def sign_again(self, batches: Sequence[BatchRow]) -> None:
        """Put signed batches in the place of those of their numbers, none of which the controller's
        log has. Blocks.
        """
        with self.writing() as connection:
            for batch in batches:
                connection.execute(
                    "DELETE FROM batches WHERE number = ? AND log IS NULL", (batch.number,)
                )
            for batch in batches:
                write_batch(connection, batch)

    def unlogged(self, after: int = 0) -> list[BatchRow]:
        """The oldest batches, after number `after`, that are not in the controller's log."""
        with self.reading() as connection:
            where = "WHERE log IS NULL AND batches.number > ? ORDER BY first LIMIT ?"
            return list(stored_batches(connection, where, (after, MAX_UNLOGGED)))

    def batch(self, number: int) -> BatchRow | None:
        """The batch of this number; None where it is not here, or not any more."""
        with self.reading() as connection:
            return next(stored_batches(connection, "WHERE batches.number = ?", (number,)), None)

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
        problem = self.failed
        if not problem:
            problem = self._written((*self._again, *tasks))
        if problem:
            self._again = [*self._again, *(t for t in tasks if t.done is None)][-MAX_AGAIN:]
        else:
            self._again.clear()
        waiting = [t.done for t in tasks if t.done is not None]
        if waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_finish, waiting, problem)

    def _written(self, tasks: Sequence[_Task]) -> str:
        """Write and commit; why not, where that failed, and then nothing was."""
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                for task in tasks:
                    task.write()
        except Exception as error:  # whatever it is, the thread that all verdicts wait for goes on
            self._leaves.forget()
            if not isinstance(error, (sqlite3.Error, zlib.error, ValueError)):
                log.exception("leaves could not be written")
            return self._fail(error)
        return ""


def _last(connection: sqlite3.Connection) -> int:
    """The highest number of a leaf, pruned ones too; 0 where there was none."""
    (last,) = connection.execute(
        "SELECT max((SELECT coalesce(max(number), 0) FROM leaves),"
        " (SELECT coalesce(max(number), 0) FROM coming),"
        " (SELECT coalesce(max(first + count) - 1, 0) FROM batches))"
    ).fetchone()
    return int(last)


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
                    "free the disk; the gateway goes on by itself",
                )
            )
        else:
            future.set_result(None)
