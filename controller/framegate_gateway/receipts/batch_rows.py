"""Batches and their place in the log as they stand in receipts.db: packed against an earlier batch,
which has the same signers.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.receipt_verifier import BATCH_TYPE, CHECKPOINT_TYPE
from framegate.record.merkle import EMPTY_ROOT
from framegate.signed.receipt import b64
from framegate_gateway.receipts.packing import joined_envelope, pack, split_envelope, unpack

_WORTH: Final = 0.7
"""A row that packs to more than this share of itself begins a new text: the signers have changed,
or the first one was not a typical one.
"""
_STATEMENT, _PROOF = b"batch", b"log"
"""Where a session's name stands in `shared`, for what batches and their proofs share."""
_HASH: Final = len(EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A signed batch of `count` leaves from number `first` on; `log` is its proof from the
    controller's log, as receipts carry it, None where it is not there.
    """

    number: int
    first: int
    count: int
    payload: bytes
    envelope: bytes
    log: Mapping[str, Any] | None

    @property
    def end(self) -> int:
        """The number after its last leaf."""
        return self.first + self.count


def write_batch(connection: sqlite3.Connection, batch: BatchRow) -> None:
    """Write a signed batch, and its proof where it has one. The connection MUST be in a writing
    transaction.
    """
    parts = split_envelope(batch.envelope, BATCH_TYPE)
    if parts[0] != batch.payload:
        parts = (batch.payload, batch.envelope)
    shared, body = _packed(connection, _STATEMENT, parts)
    connection.execute(
        "INSERT INTO batches (number, first, count, shared, body) VALUES (?,?,?,?,?)",
        (batch.number, batch.first, batch.count, shared, body),
    )
    if batch.log is not None:
        write_proof(connection, batch.number, batch.log)


def write_proof(connection: sqlite3.Connection, number: int, proof: Mapping[str, Any]) -> None:
    """Write where batch `number` stands in the controller's log: {entry, index, path, checkpoint}
    as receipts have it. The connection MUST be in a writing transaction. Raises Malformed (RECEIPT)
    for what is no such proof.
    """
    try:
        entry, checkpoint = _raw(proof["entry"]), _raw(proof["checkpoint"])
        path, index = [_raw(step) for step in proof["path"]], int(proof["index"])
        if set(proof) != {"entry", "index", "path", "checkpoint"} or any(
            len(step) != _HASH for step in path
        ):
            raise ValueError("other members")
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed.of(
            Reason.RECEIPT, "a batch's place in the log", f"{type(error).__name__}: {error}"
        ) from error
    parts = (entry, b"".join(path), *split_envelope(checkpoint, CHECKPOINT_TYPE))
    shared, body = _packed(connection, _PROOF, parts)
    connection.execute(
        "UPDATE batches SET log_index = ?, log_shared = ?, log = ? WHERE number = ?",
        (index, shared, body, number),
    )


_STORED: Final = (
    "SELECT batches.number, first, count, body, one.text, log_index, log, two.text FROM batches"
    " JOIN shared AS one ON one.number = batches.shared"
    " LEFT JOIN shared AS two ON two.number = batches.log_shared "
)


def stored_batches(
    connection: sqlite3.Connection, where: str, values: Sequence[Any] = ()
) -> Iterator[BatchRow]:
    """The batches that the rest of a query, `where`, names, in its order. Raises Malformed
    (RECEIPT) for a row that is damaged.
    """
    for row in connection.execute(_STORED + where, tuple(values)).fetchall():
        number, first, count, body, text, index, log, log_text = row
        parts = unpack(body, text)
        envelope = parts[1] if len(parts) < 3 else joined_envelope(parts, BATCH_TYPE)
        proof = None if log is None else _proof(index, unpack(log, log_text or b""))
        yield BatchRow(number, first, count, parts[0], envelope, proof)


def batch_of(connection: sqlite3.Connection, leaf: int) -> BatchRow | None:
    """The batch that leaf number `leaf` is in; None where it is in none yet."""
    where = "WHERE first <= ? ORDER BY first DESC LIMIT 1"
    batch = next(stored_batches(connection, where, (leaf,)), None)
    return batch if batch is not None and leaf < batch.end else None


def _packed(
    connection: sqlite3.Connection, kind: bytes, parts: Sequence[bytes]
) -> tuple[int, bytes]:
    """(number of the shared text, the row packed against it); the newest text of its kind, or a new
    one where that is not worth it.
    """
    newest = connection.execute(
        "SELECT number, text FROM shared WHERE session = ? ORDER BY number DESC LIMIT 1", (kind,)
    ).fetchone()
    if newest is not None:
        body = pack(parts, newest[1])
        if len(body) <= _WORTH * sum(map(len, parts)):
            return newest[0], body
    text = b"".join(reversed(parts))
    row = connection.execute(
        "INSERT INTO shared (device, session, text) VALUES (0, ?, ?)", (kind, text)
    )
    return row.lastrowid or 0, pack(parts, text)


def _proof(index: int, parts: Sequence[bytes]) -> dict[str, Any]:
    entry, path, *checkpoint = parts
    return {
        "entry": b64(entry),
        "index": index,
        "path": [b64(path[at : at + _HASH]) for at in range(0, len(path), _HASH)],
        "checkpoint": b64(joined_envelope(checkpoint, CHECKPOINT_TYPE)),
    }


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
