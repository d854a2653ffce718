"""Leaves as they stand in receipts.db: numbers in place of names, and each row packed against what
its session shares.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from framegate.errors import Malformed, Reason
from framegate.signed.statement import Verdict
from framegate_gateway.receipts.packing import (
    joined_envelope,
    pack,
    split_envelope,
    unpack,
)

VERDICT, GAP, EVENT, PRUNED = "verdict", "gap", "event", "pruned"
KINDS: Final = (VERDICT, GAP, EVENT, PRUNED)
"""What a leaf is; its place here is its number on the disk. Of one that is pruned only its hash and
its id are left.
"""
RECEIPTS: Final = "kind < 2"
"""Leaves that are receipts: verdicts and gaps."""
MAX_SHARED: Final = 256
"""Sessions whose shared text is remembered, some kilobytes each: more than are open at once on one
gateway. One that is forgotten is written again, and costs that once more.
"""


class Seal(NamedTuple):
    """Signature and certificate (DER) of an envelope around a row's payload."""

    signature: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class LeafRow:
    """One leaf and what is kept beside it, to be written or as it was read; `id` is 32 hexadecimal
    digits, `envelope` the signed verdict as it left, empty for events and gaps; `seal` is what it
    was made of beside `payload`, for whoever made it here: without, it is taken apart, and what is
    no such envelope kept whole.
    """

    number: int
    id: str
    kind: str
    device: str
    session: bytes
    counter: int
    part: str
    at_ms: int
    leaf: bytes
    payload: bytes = b""
    metadata: bytes = b""
    envelope: bytes = b""
    seal: Seal | None = None


_WORTH: Final = 0.3
"""A row that packs to more than this share of itself may begin a new text: the first row of a
session may have been of a refused frame, or its certificate has been renewed. Usual is an eighth.
"""
_LEAST_ROWS: Final = 16
"""Rows against one text before another may be begun, so that rows that are new through and through
do not each cost a text of their own.
"""


@dataclass(slots=True)
class _Shared:
    """What rows of one session are packed against: its number in the file, its bytes, and how many
    rows it has by now.
    """

    number: int
    text: bytes
    rows: int = 0


_COLUMNS: Final = "number, id, kind, device, shared, counter, part, at_ms, body"
COMING: Final = "coming"
"""The table that a leaf is written to while its verdict waits: one page of it, and no index."""


class LeafWriter:
    """Writes rows over one connection, whose owner commits and calls from one thread at a time;
    into `coming`, from where `settle` takes them, or straight to their place.
    """

    def __init__(self, connection: sqlite3.Connection, table: str = COMING) -> None:
        self._connection = connection
        self._insert = f"INSERT INTO {table} ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"
        self._devices: dict[str, int] = {}
        self._shared: OrderedDict[tuple[int, bytes, str], _Shared] = OrderedDict()

    def write(self, row: LeafRow) -> None:
        """Write a row. The connection MUST be in a writing transaction; where that is rolled back,
        `forget` MUST follow.
        """
        device = self._device(row.device)
        parts = (row.leaf, row.payload, row.metadata, *(row.seal or _kept_of(row)))
        key = (device, row.session, row.kind)
        shared = self._known(key) or self._begun(key, parts)
        body = pack(parts, shared.text)
        if len(body) > _WORTH * sum(map(len, parts)) and shared.rows >= _LEAST_ROWS:
            shared = self._begun(key, parts)
            body = pack(parts, shared.text)
        shared.rows += 1
        self._connection.execute(
            self._insert,
            (
                row.number,
                bytes.fromhex(row.id),
                KINDS.index(row.kind),
                device,
                shared.number,
                row.counter,
                row.part,
                row.at_ms,
                body,
            ),
        )

    def write_pruned(self, number: int, identifier: str, at_ms: int, digest: bytes) -> None:
        """Write what is left of a leaf that is gone."""
        self._connection.execute(
            self._insert,
            (number, bytes.fromhex(identifier), KINDS.index(PRUNED), 0, 0, 0, "", at_ms, digest),
        )

    def forget(self) -> None:
        """Nothing of what was remembered is in the file for sure."""
        self._devices.clear()
        self._shared.clear()

    def _device(self, name: str) -> int:
        if name not in self._devices:
            self._devices[name] = device_number(self._connection, name)
        return self._devices[name]

    def _known(self, key: tuple[int, bytes, str]) -> _Shared | None:
        """The session's text; None where there is none, or retention took it out."""
        shared = self._shared.get(key)
        if shared is None:
            return None
        self._shared.move_to_end(key)
        there = "SELECT 1 FROM shared WHERE number = ?"
        return shared if self._connection.execute(there, (shared.number,)).fetchone() else None

    def _begun(self, key: tuple[int, bytes, str], parts: Sequence[bytes]) -> _Shared:
        """A new text for the session: this row's own bytes."""
        text = b"".join(reversed(parts))  # what is matched last is nearest, and costs least
        row = self._connection.execute(
            "INSERT INTO shared (device, session, text) VALUES (?,?,?)", (key[0], key[1], text)
        )
        shared = self._shared[key] = _Shared(row.lastrowid or 0, text)
        if len(self._shared) > MAX_SHARED:
            self._shared.popitem(last=False)
        return shared


def _kept_of(row: LeafRow) -> tuple[bytes, ...]:
    """What is kept of an envelope beside its payload."""
    split = split_envelope(row.envelope, Verdict.TYPE)
    return split[1:] if split[0] == row.payload and len(split) > 1 else (row.envelope,)


def settle(connection: sqlite3.Connection) -> None:
    """Give leaves that came their place: in the indices, in what their cameras take, and in reach
    of readers. The connection MUST be in a writing transaction.
    """
    connection.execute(
        f"INSERT INTO leaves ({_COLUMNS}) SELECT {_COLUMNS} FROM {COMING} ORDER BY number"
    )
    connection.execute(f"DELETE FROM {COMING}")


def device_number(connection: sqlite3.Connection, name: str) -> int:
    """The number that stands for a device in this file; given out where it has none."""
    connection.execute("INSERT OR IGNORE INTO devices (name) VALUES (?)", (name,))
    (number,) = connection.execute("SELECT number FROM devices WHERE name = ?", (name,)).fetchone()
    return int(number)


@dataclass(frozen=True, slots=True)
class PackedLeaf:
    """A leaf and what it takes: `shared`, the number of the text that it is packed against, and
    `packed`, its bytes in the file.
    """

    row: LeafRow
    shared: int
    packed: int


def _stored_in(table: str) -> str:
    return (
        "SELECT leaves.number, id, kind, name, session, counter, part, at_ms, shared,"
        f" length(body), body, text FROM {table} AS leaves"
        " LEFT JOIN devices ON devices.number = leaves.device"
        " LEFT JOIN shared ON shared.number = leaves.shared "
    )


_STORED: Final = _stored_in("leaves")
_STORED_COMING: Final = _stored_in(COMING)


def stored_leaves(
    connection: sqlite3.Connection, where: str, values: Sequence[Any]
) -> Iterator[LeafRow]:
    """The leaves that the rest of a query, `where`, names, in its order; read at once, unpacked one
    by one. Of a leaf that is pruned, `leaf` is its hash. Raises Malformed (RECEIPT) for a row that
    is damaged.
    """
    return (one.row for one in packed_leaves(connection, where, values))


def coming_leaves(
    connection: sqlite3.Connection, where: str, values: Sequence[Any]
) -> Iterator[LeafRow]:
    """Likewise, of those that are not settled: a second's, which are looked through."""
    rows = connection.execute(_STORED_COMING + where, tuple(values)).fetchall()
    return (_stored(row).row for row in rows)


def packed_leaves(
    connection: sqlite3.Connection, where: str, values: Sequence[Any]
) -> Iterator[PackedLeaf]:
    """Likewise, with what each takes."""
    for row in connection.execute(_STORED + where, tuple(values)).fetchall():
        yield _stored(row)


def _stored(row: Sequence[Any]) -> PackedLeaf:
    number, identifier, kind, device, session, counter, part, at_ms, shared, packed, body, text = (
        row
    )
    if KINDS[kind] == PRUNED:
        leaf, payload, metadata, envelope = body, b"", b"", b""
    elif text is None:
        raise Malformed.of(
            Reason.RECEIPT,
            f"what leaf {number} shares with its session",
            "nothing",
            "another program changed receipts.db: put back a copy of it",
        )
    else:
        parts = unpack(body, text)
        if len(parts) not in {4, 5}:
            raise Malformed.of(Reason.RECEIPT, "a leaf and what is kept beside it", len(parts))
        leaf, payload, metadata, *kept = parts
        split = kept if len(kept) == 1 else (payload, *kept)
        envelope = joined_envelope(split, Verdict.TYPE)
    stored = LeafRow(
        number=number,
        id=identifier.hex(),
        kind=KINDS[kind],
        device=device or "",
        session=session or b"",
        counter=counter,
        part=part,
        at_ms=at_ms,
        leaf=leaf,
        payload=payload,
        metadata=metadata,
        envelope=envelope,
    )
    return PackedLeaf(stored, shared, packed)
