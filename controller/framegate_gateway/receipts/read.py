"""Receipts out of the store: found by id, part, camera, time or session, and put together with
every proof that exists by now.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from framegate.errors import Reason, Refused
from framegate.receipt_verifier import leaf_hash
from framegate.record.merkle import Tree, packed_tree
from framegate.signed.receipt import PlaceInBatch, PlaceUnderHead, assemble
from framegate_gateway.receipts.batch_rows import BatchRow, batch_of
from framegate_gateway.receipts.rows import (
    GAP,
    PRUNED,
    RECEIPTS,
    VERDICT,
    LeafRow,
    coming_leaves,
    stored_leaves,
)
from framegate_gateway.receipts.store import ReceiptStore

MAX_RECEIPTS: Final = 10_000
"""Receipts of one answer: some hundred megabytes, streamed; more is asked for by time."""
_NO_END: Final = 2**63 - 1
"""SQLite's largest integer: no time is later."""
_ID: Final = 32
"""Hexadecimal digits of an id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which receipts: by `id` (or its unique beginning), else by `part`, `session`, or `camera` and
    time; newest first, at most `limit`.

    By time: from `since_ms` to before `until_ms` (0: no end), and of those at `until_ms` the ones
    with a sequence number below `below`: so the last receipt of a full answer says what is next.
    """

    id: str = ""
    part: str = ""
    camera: str = ""
    session: str = ""
    since_ms: int = 0
    limit: int = 100
    until_ms: int = 0
    below: int = 0


class _Trees:
    """The trees that a run of receipts shares, each built once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._batches: dict[int, Tree] = {}
        self._sessions: dict[bytes, tuple[bytes, bytes, bytes, Tree] | None] = {}

    def batch(self, batch: BatchRow) -> Tree:
        if batch.number not in self._batches:
            where = "WHERE leaves.number >= ? AND leaves.number < ? ORDER BY leaves.number"
            rows = stored_leaves(self._connection, where, (batch.first, batch.end))
            self._batches[batch.number] = Tree(
                [one.leaf if one.kind == PRUNED else leaf_hash(one.leaf) for one in rows]
            )
        return self._batches[batch.number]

    def session(self, session: bytes) -> tuple[bytes, bytes, bytes, Tree] | None:
        """(certificate, head, signature, tree) where the camera has signed."""
        if session not in self._sessions:
            row = self._connection.execute(
                "SELECT certificate, head, signature, tree FROM sessions WHERE session = ? AND head"
                " IS NOT NULL",
                (session,),
            ).fetchone()
            self._sessions[session] = (
                None if row is None else (row[0], row[1], row[2], packed_tree(row[3]))
            )
        return self._sessions[session]


def receipts(
    store: ReceiptStore, wanted: Wanted, authorities: list[bytes]
) -> Iterator[dict[str, Any]]:
    """Receipts as JSON values. Raises Refused (NOT_FOUND) for an id that is unknown, ambiguous or
    not signed yet.
    """
    with store.reading() as connection:
        trees = _Trees(connection)
        for row in _rows(connection, wanted):
            batch = batch_of(connection, row.number)
            if batch is None:
                if wanted.id:
                    raise Refused.of(
                        Reason.NOT_FOUND,
                        "a receipt that is signed",
                        f"{row.id} is durable and waits for its batch",
                        "ask again in a second",
                    )
                continue
            if row.kind not in {VERDICT, GAP}:
                continue  # events are not receipts of frames; the log has their batch
            signed = trees.session(row.session)
            camera = None
            if signed is not None and row.counter < signed[3].size:
                path = signed[3].path(row.counter)
                camera = PlaceUnderHead(signed[0], signed[1], signed[2], path)
            index = row.number - batch.first
            yield assemble(
                row.leaf,
                row.payload,
                row.metadata,
                PlaceInBatch(batch.envelope, index, trees.batch(batch).path(index)),
                camera,
                batch.log,
                authorities,
            )


def find(store: ReceiptStore, identifier: str) -> LeafRow:
    """The leaf with this id or unique beginning of one. Raises Refused (NOT_FOUND)."""
    with store.reading() as connection:
        return _one(connection, identifier)


def _one(connection: sqlite3.Connection, identifier: str) -> LeafRow:
    if not identifier or not all(c in "0123456789abcdef" for c in identifier):
        raise Refused.of(
            Reason.NOT_FOUND,
            "a receipt's id: hexadecimal digits",
            ascii(identifier[:80]),
            "framegate verdict list",
        )
    bounds = [bytes.fromhex(identifier[:_ID].ljust(_ID, digit)) for digit in "0f"]
    where = "WHERE id BETWEEN ? AND ? LIMIT 2"
    alike = (read(connection, where, bounds) for read in (stored_leaves, coming_leaves))
    rows = list(chain(*alike)) if len(identifier) <= _ID else []
    if len(rows) != 1:
        raise Refused.of(
            Reason.NOT_FOUND,
            "a receipt's id or unique beginning",
            f"{identifier[:64]}: {'several' if rows else 'none'}",
            "framegate verdict list",
        )
    if rows[0].kind == PRUNED:
        raise Refused.of(
            Reason.NOT_FOUND,
            "a receipt that is kept",
            f"{identifier[:64]}: its camera's receipts are over their quota, and it was old",
            "--receipt-quota; framegate receipt export, before they are full",
        )
    return rows[0]


def _rows(connection: sqlite3.Connection, wanted: Wanted) -> Iterator[LeafRow]:
    limit = min(wanted.limit or 100, MAX_RECEIPTS)
    if wanted.id:
        return iter([_one(connection, wanted.id)])
    if wanted.part:
        where = "WHERE part = ? ORDER BY leaves.number DESC LIMIT ?"
        return stored_leaves(connection, where, (wanted.part, limit))
    if wanted.session:
        try:
            session = bytes.fromhex(wanted.session)
        except ValueError as error:
            raise Refused.of(
                Reason.NOT_FOUND, "a session in hexadecimal", ascii(wanted.session[:80])
            ) from error
        where = (
            "WHERE shared IN (SELECT number FROM shared WHERE session = ?) ORDER BY counter LIMIT ?"
        )
        return stored_leaves(connection, where, (session, limit))
    return _by_time(connection, wanted, limit)


def _by_time(connection: sqlite3.Connection, wanted: Wanted, limit: int) -> Iterator[LeafRow]:
    """Signed receipts alone: an answer with fewer than `limit` of them is the last one."""
    since_ms, below = min(wanted.since_ms, _NO_END), min(wanted.below, _NO_END)
    until_ms = min(wanted.until_ms or _NO_END, _NO_END)
    named = "leaves.device = (SELECT number FROM devices WHERE name = ?) AND "
    where = (
        f"WHERE {named if wanted.camera else ''}at_ms >= ? AND at_ms <= ?"
        f" AND (at_ms < ? OR leaves.number < ?) AND {RECEIPTS}"
        " AND leaves.number < (SELECT coalesce(max(first + count), 0) FROM batches)"
        " ORDER BY at_ms DESC, leaves.number DESC LIMIT ?"
    )
    of = (wanted.camera,) if wanted.camera else ()
    return stored_leaves(connection, where, (*of, since_ms, until_ms, until_ms, below, limit))
