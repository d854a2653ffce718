"""Receipts out of the store: found by id, part, camera, time or session, and put together with
every proof that exists by now.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Reason, Refused
from framegate.receipt_verifier import leaf_hash
from framegate.record.merkle import Tree, packed_tree
from framegate.signed.receipt import PlaceInBatch, PlaceUnderHead, assemble
from framegate_gateway.receipts.retention import PRUNED
from framegate_gateway.receipts.store import ReceiptStore

MAX_RECEIPTS: Final = 10_000
"""Receipts of one answer: some hundred megabytes, streamed; more is asked for by time."""
_NO_END: Final = 2**63 - 1
"""SQLite's largest integer: no time is later."""
_LEAF: Final = "number, leaf, payload, metadata, session, counter, id, kind"


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

    def batch(self, number: int, first: int, count: int) -> Tree:
        if number not in self._batches:
            rows = self._connection.execute(
                "SELECT kind, leaf FROM leaves WHERE number >= ? AND number < ? ORDER BY number",
                (first, first + count),
            ).fetchall()
            self._batches[number] = Tree(
                [leaf if kind == PRUNED else leaf_hash(leaf) for kind, leaf in rows]
            )
        return self._batches[number]

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
            number, leaf, payload, metadata, session, counter, identifier, kind = row
            batch = connection.execute(
                "SELECT number, first, count, envelope, log FROM batches WHERE first <= ? ORDER BY"
                " first DESC LIMIT 1",
                (number,),
            ).fetchone()
            if batch is None or number >= batch[1] + batch[2]:
                if wanted.id:
                    raise Refused.of(
                        Reason.NOT_FOUND,
                        "a receipt that is signed",
                        f"{identifier} is durable and waits for its batch",
                        "ask again in a second",
                    )
                continue
            if kind not in {"verdict", "gap"}:
                continue  # events are not receipts of frames; the log has their batch
            signed = trees.session(session)
            camera = None
            if signed is not None and counter < signed[3].size:
                camera = PlaceUnderHead(signed[0], signed[1], signed[2], signed[3].path(counter))
            tree = trees.batch(batch[0], batch[1], batch[2])
            index = number - batch[1]
            log = json.loads(batch[4]) if batch[4] else None
            yield assemble(
                leaf,
                payload,
                metadata,
                PlaceInBatch(batch[3], index, tree.path(index)),
                camera,
                log,
                authorities,
            )


def find(store: ReceiptStore, identifier: str) -> sqlite3.Row:
    """The leaf with this id or unique beginning of one, as a row with names. Raises Refused
    (NOT_FOUND).
    """
    with store.reading() as connection:
        connection.row_factory = sqlite3.Row
        return _one(connection, "*", identifier)  # type: ignore[no-any-return]


def _one(connection: sqlite3.Connection, columns: str, identifier: str) -> Any:
    if not identifier or not all(c in "0123456789abcdef" for c in identifier):
        raise Refused.of(
            Reason.NOT_FOUND,
            "a receipt's id: hexadecimal digits",
            ascii(identifier[:80]),
            "framegate verdict list",
        )
    rows = connection.execute(
        f"SELECT {columns}, kind = 'pruned' AS gone FROM leaves WHERE id >= ? AND id < ? LIMIT 2",
        (identifier, identifier + "g"),
    ).fetchall()
    if len(rows) != 1:
        raise Refused.of(
            Reason.NOT_FOUND,
            "a receipt's id or unique beginning",
            f"{identifier[:64]}: {'none' if not rows else 'several'}",
            "framegate verdict list",
        )
    if rows[0][-1]:
        raise Refused.of(
            Reason.NOT_FOUND,
            "a receipt that is kept",
            f"{identifier[:64]}: its camera's receipts are over their quota, and it was old",
            "--receipt-quota; framegate receipt export, before they are full",
        )
    return rows[0]


def _rows(connection: sqlite3.Connection, wanted: Wanted) -> list[Any]:
    limit = min(wanted.limit or 100, MAX_RECEIPTS)
    if wanted.id:
        return [_one(connection, _LEAF, wanted.id)[:-1]]
    if wanted.part:
        return connection.execute(
            f"SELECT {_LEAF} FROM leaves WHERE part = ? ORDER BY number DESC LIMIT ?",
            (wanted.part, limit),
        ).fetchall()
    if wanted.session:
        try:
            session = bytes.fromhex(wanted.session)
        except ValueError as error:
            raise Refused.of(
                Reason.NOT_FOUND, "a session in hexadecimal", ascii(wanted.session[:80])
            ) from error
        return connection.execute(
            f"SELECT {_LEAF} FROM leaves WHERE session = ? ORDER BY counter LIMIT ?",
            (session, limit),
        ).fetchall()
    return _by_time(connection, wanted, limit)


def _by_time(connection: sqlite3.Connection, wanted: Wanted, limit: int) -> list[Any]:
    """Signed receipts alone: an answer with fewer than `limit` of them is the last one."""
    since_ms, below = min(wanted.since_ms, _NO_END), min(wanted.below, _NO_END)
    until_ms = min(wanted.until_ms or _NO_END, _NO_END)
    camera = "device = ? AND " if wanted.camera else ""
    query = (
        f"SELECT {_LEAF} FROM leaves WHERE {camera}at_ms >= ? AND at_ms <= ?"
        " AND (at_ms < ? OR number < ?) AND kind IN ('verdict', 'gap')"
        " AND number < (SELECT coalesce(max(first + count), 0) FROM batches)"
        " ORDER BY at_ms DESC, number DESC LIMIT ?"
    )
    of = (wanted.camera,) if wanted.camera else ()
    return connection.execute(query, (*of, since_ms, until_ms, until_ms, below, limit)).fetchall()
