"""How much room one camera's receipts may take, and what goes when they take more.

A receipt is proved by its neighbours: the tree of its batch is over all leaves of that second, of
every camera. So what goes leaves its leaf's hash behind while the batch still has a receipt that is
kept, and a camera's flood pushes out that camera's receipts and no other's.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import FramegateError
from framegate.receipt_verifier import leaf_hash
from framegate.signed.receipt import ReceiptBatch
from framegate_gateway.receipts.batch_rows import BatchRow, batch_of
from framegate_gateway.receipts.batches import new_identifier
from framegate_gateway.receipts.rows import RECEIPTS, PackedLeaf, packed_leaves, settle
from framegate_gateway.receipts.schema import ROW_BYTES
from framegate_gateway.receipts.store import ReceiptStore
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
NEARLY_FULL: Final = 0.8
"""From this share of its quota on a camera's receipts are told of, before any goes."""
ROOM: Final = 0.95
"""Down to this share of the quota they are taken out, so that it is not done for every frame."""
RETAIN_S: Final = 60.0
"""How often the quota is looked at: a camera at full speed adds some ten megabytes meanwhile."""
_AT_ONCE: Final = 100
"""Receipts of one transaction: some forty milliseconds with the disk's, for which the store's own
commits wait; more than two thousand a second go, and no camera makes as many."""
_HEAD_COMES_MS: Final = 86_400_000
"""A session that has no head yet may get one for so long."""
MAX_ROOTS: Final = 5_000_000
"""Roots that are kept of batches of which nothing else is: two months of one a second, some 250
megabytes. What a receipt that was exported says of its batch can be compared with them.
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """One camera's receipts: bytes that they take on the disk, when the oldest that is kept was
    made (ms; 0: none), and how many are gone.
    """

    device: str
    bytes: int
    oldest_ms: int
    pruned: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run took out of one camera's receipts; the newest of it was made at `until_ms`."""

    device: str
    receipts: int
    until_ms: int


class ReceiptRetention:
    """The rule for one store: `quota` bytes a camera. `needed` says which of some verdict ids are
    still needed by something else that is kept, as a frame in the vault needs its receipt;
    `filling` hears, before anything goes, of which camera and how full it is.
    """

    def __init__(
        self,
        store: ReceiptStore,
        quota: int,
        needed: Callable[[Sequence[str]], set[str]] = lambda _ids: set(),
        filling: Callable[[str, str], None] = lambda _device, _said: None,
    ) -> None:
        self._store, self.quota, self._needed, self._filling = store, quota, needed, filling
        self._told: set[str] = set()

    def kept(self) -> list[Kept]:
        """What is kept of each camera, but for the last second's. Blocks."""
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT name, bytes, pruned, (SELECT coalesce(min(at_ms), 0) FROM leaves WHERE"
                " leaves.device = usage.device) FROM usage JOIN devices ON number = usage.device"
                " ORDER BY name"
            ).fetchall()
        return [Kept(device, used, oldest, pruned) for device, used, pruned, oldest in rows]

    def run(self) -> list[Taken]:
        """Tell of cameras that are nearly full, take out what is over. Blocks.

        1. a camera's oldest receipts go, until it is at `ROOM` of the quota;
        2. only those whose batch is in the controller's log: what is proved nowhere else stays;
        3. none that something else needs, and no event: exports and erasures stay;
        4. the hash of a leaf stays while its batch has another leaf that is kept, and a session's
           head while one of its receipts is; of a batch that goes whole its root stays.
        """
        taken = []
        self._store.settle()
        for kept in self.kept():
            self._tell(kept)
            if kept.bytes > self.quota:  # 1
                taken.append(self._take(kept))
        return [one for one in taken if one.receipts]

    def _tell(self, kept: Kept) -> None:
        nearly = kept.bytes >= NEARLY_FULL * self.quota
        if nearly and kept.device not in self._told:
            self._told.add(kept.device)
            used, quota = kept.bytes / 2**20, self.quota // 2**20
            self._filling(kept.device, f"receipts take {used:.1f} of {quota} MiB")
            log.warning(
                "receipts of %s take %.1f of %d MiB: the oldest go when that is full; export them"
                " before (framegate receipt export), or raise --receipt-quota",
                kept.device,
                used,
                quota,
            )
        elif not nearly:
            self._told.discard(kept.device)

    def _take(self, kept: Kept) -> Taken:
        over, receipts, until_ms = kept.bytes - int(ROOM * self.quota), 0, 0
        after = (0, 0)
        while over > 0:
            with self._store.writing() as connection:
                settle(connection)  # what comes may need what the going ones share
                rows = list(
                    packed_leaves(
                        connection,
                        "WHERE leaves.device = (SELECT number FROM devices WHERE name = ?)"
                        f" AND {RECEIPTS} AND (at_ms, leaves.number) > (?, ?)"
                        " AND leaves.number < ? ORDER BY at_ms, leaves.number LIMIT ?",
                        (kept.device, *after, _logged_end(connection), _AT_ONCE),  # 2
                    )
                )
                if not rows:
                    log.warning("receipts of %s stay over their quota: all are needed", kept.device)
                    break
                after = (rows[-1].row.at_ms, rows[-1].row.number)
                needed = self._needed([one.row.id for one in rows])  # 3
                going = []
                for one in rows:
                    if over <= 0:
                        break
                    if one.row.id not in needed:
                        going.append(one)
                        over -= one.packed + ROW_BYTES
                _strip(connection, kept.device, going)  # 4
                receipts += len(going)
                until_ms = max([until_ms, *(one.row.at_ms for one in going)])
        return Taken(kept.device, receipts, until_ms)


def receipts_kept(retention: ReceiptRetention | None) -> list[pb.ReceiptsKept]:
    """What is kept of each camera, as operators are told. Blocks."""
    if retention is None:
        return []
    return [
        pb.ReceiptsKept(
            device=kept.device,
            bytes=kept.bytes,
            quota=retention.quota,
            oldest_ms=kept.oldest_ms,
            pruned=kept.pruned,
        )
        for kept in retention.kept()
    ]


def _logged_end(connection: sqlite3.Connection) -> int:
    """The number after the last leaf whose batch, and every one before, is in the log."""
    (first,) = connection.execute(
        "SELECT coalesce((SELECT min(first) FROM batches WHERE log IS NULL),"
        " (SELECT max(first + count) FROM batches), 0)"
    ).fetchone()
    return int(first)


def _strip(connection: sqlite3.Connection, device: str, going: Sequence[PackedLeaf]) -> None:
    connection.executemany(
        "UPDATE leaves SET kind = 3, device = 0, shared = 0, part = '', body = ? WHERE number = ?",
        [(leaf_hash(one.row.leaf), one.row.number) for one in going],
    )
    connection.execute(
        "UPDATE usage SET pruned = pruned + ?"
        " WHERE device = (SELECT number FROM devices WHERE name = ?)",
        (len(going), device),
    )
    for session in {one.row.session for one in going if one.row.session}:
        connection.execute(
            "DELETE FROM sessions WHERE session = ? AND NOT EXISTS (SELECT 1 FROM leaves WHERE"
            " shared IN (SELECT number FROM shared WHERE session = sessions.session)) AND"
            " (head IS NOT NULL OR opened_ms < (SELECT max(opened_ms) FROM sessions) - ?)",
            (session, _HEAD_COMES_MS),
        )
    for shared in {one.shared for one in going}:
        connection.execute(
            "DELETE FROM shared WHERE number = ? AND NOT EXISTS"
            " (SELECT 1 FROM leaves WHERE shared = ?)",
            (shared, shared),
        )
    for batch in _batches(connection, [one.row.number for one in going]):
        span = (batch.first, batch.end)
        whole = connection.execute(
            "SELECT 1 FROM leaves WHERE number >= ? AND number < ? AND kind <> 3 LIMIT 1", span
        ).fetchone()
        if whole is None:
            root = bytes.fromhex(ReceiptBatch.parse_payload(batch.payload).root)
            connection.execute(
                "INSERT INTO roots VALUES (?,?,?,?)", (batch.number, batch.first, batch.count, root)
            )
            connection.execute("DELETE FROM leaves WHERE number >= ? AND number < ?", span)
            connection.execute("DELETE FROM batches WHERE number = ?", (batch.number,))
    connection.execute(
        "DELETE FROM roots WHERE number <= (SELECT max(number) FROM roots) - ?", (MAX_ROOTS,)
    )


def _batches(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[BatchRow]:
    """The batches of these leaves. The last batch of the store is not among them: the next one
    continues its chain.
    """
    theirs: list[BatchRow] = []
    for number in numbers:
        if any(batch.first <= number < batch.end for batch in theirs):
            continue
        batch = batch_of(connection, number)
        if batch is not None:
            theirs.append(batch)
    (last,) = connection.execute("SELECT max(first) FROM batches").fetchone()
    return [batch for batch in theirs if batch.first != last]


Tell = Callable[[str, str, str, Mapping[str, Any]], Awaitable[None]]
"""Makes a leaf: its id, event, actor and detail."""


async def keep_within_quota(retention: ReceiptRetention, tell: Tell) -> None:
    """Keep each camera's receipts within their quota, for ever; a leaf says what was taken out."""
    while True:
        try:
            for taken in await asyncio.to_thread(retention.run):
                log.warning("%d old receipts of %s are gone", taken.receipts, taken.device)
                detail = {
                    "device": taken.device,
                    "receipts": taken.receipts,
                    "until_ms": taken.until_ms,
                }
                await tell(new_identifier(), "receipts-pruned", "gateway", detail)
        except (FramegateError, sqlite3.Error) as error:
            log.error("receipts are not kept within their quota: %s", error)
        await asyncio.sleep(RETAIN_S)
