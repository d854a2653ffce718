"""The tables of receipts.db, and stores of earlier versions brought up to them."""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from typing import Final

from framegate.errors import Reason, Unavailable
from framegate_gateway.receipts.batch_rows import BatchRow, write_batch
from framegate_gateway.receipts.rows import (
    PRUNED,
    LeafRow,
    LeafWriter,
    device_number,
    settle,
)

log = logging.getLogger(__name__)
VERSION: Final = 3
ROW_BYTES: Final = 150
"""What a leaf takes on the disk beside its packed bytes: its row's numbers, its places in four
indices, its hash in the camera's tree. Measured, and looked at by a test.
"""
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE devices (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    # what the rows of a session share, or batches: each is packed against such a text
    "CREATE TABLE shared (number INTEGER PRIMARY KEY AUTOINCREMENT, device INTEGER NOT NULL,"
    " session BLOB NOT NULL, text BLOB NOT NULL)",
    "CREATE INDEX shared_by_session ON shared (session)",
    "CREATE TABLE leaves (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " kind INTEGER NOT NULL, device INTEGER NOT NULL, shared INTEGER NOT NULL,"
    " counter INTEGER NOT NULL, part TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX leaves_by_part ON leaves (part) WHERE part <> ''",
    "CREATE INDEX leaves_by_device ON leaves (device, at_ms)",
    "CREATE INDEX leaves_by_session ON leaves (shared, counter)",
    "CREATE TABLE batches (number INTEGER PRIMARY KEY, first INTEGER NOT NULL,"
    " count INTEGER NOT NULL, shared INTEGER NOT NULL, body BLOB NOT NULL, log_index INTEGER,"
    " log_shared INTEGER, log BLOB)",
    "CREATE INDEX batches_by_first ON batches (first)",
    "CREATE INDEX batches_unlogged ON batches (first) WHERE log IS NULL",
    # roots of batches of which no receipt is kept
    "CREATE TABLE roots (number INTEGER PRIMARY KEY, first INTEGER NOT NULL,"
    " count INTEGER NOT NULL, root BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sessions (session BLOB PRIMARY KEY, device TEXT NOT NULL,"
    " certificate BLOB NOT NULL, opened_ms INTEGER NOT NULL, count INTEGER NOT NULL DEFAULT 0,"
    " head BLOB, signature BLOB, tree BLOB)",
    "CREATE TABLE usage (device INTEGER PRIMARY KEY, bytes INTEGER NOT NULL,"
    " pruned INTEGER NOT NULL DEFAULT 0)",
    "CREATE TRIGGER leaf_counts AFTER INSERT ON leaves WHEN NEW.kind < 2 BEGIN"
    f" INSERT INTO usage (device, bytes) VALUES (NEW.device, length(NEW.body) + {ROW_BYTES})"
    " ON CONFLICT (device) DO UPDATE SET bytes = bytes + excluded.bytes; END",
    "CREATE TRIGGER leaf_goes AFTER UPDATE OF kind ON leaves WHEN OLD.kind < 2 AND NEW.kind = 3"
    f" BEGIN UPDATE usage SET bytes = bytes - length(OLD.body) - {ROW_BYTES}"
    " WHERE device = OLD.device; END",
    "CREATE TRIGGER shared_counts AFTER INSERT ON shared WHEN NEW.device <> 0 BEGIN"
    " INSERT INTO usage (device, bytes) VALUES (NEW.device, length(NEW.text))"
    " ON CONFLICT (device) DO UPDATE SET bytes = bytes + excluded.bytes; END",
    "CREATE TRIGGER shared_goes AFTER DELETE ON shared WHEN OLD.device <> 0 BEGIN"
    " UPDATE usage SET bytes = bytes - length(OLD.text) WHERE device = OLD.device; END",
)
_COMING: Final = (
    "CREATE TABLE coming (number INTEGER PRIMARY KEY, id BLOB NOT NULL, kind INTEGER NOT NULL,"
    " device INTEGER NOT NULL, shared INTEGER NOT NULL, counter INTEGER NOT NULL,"
    " part TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL)"
)
"""Leaves before they are settled: the columns of `leaves`, and nothing else that a verdict would
have to wait for.
"""
_REWRITTEN: Final = 2
"""The last version that wrote rows in another form; later ones only get tables beside."""
_BEFORE: Final = ("leaves", "batches")
"""Tables of version 0 and 1 whose rows are written anew; `sessions` are as they were."""
_AT_ONCE: Final = 1_000
"""Old rows of one transaction: a tenth of a second, after which a start that is interrupted goes
on where it was.
"""


def bring_up(connection: sqlite3.Connection) -> None:
    """Make the tables in a new file; bring those of an earlier version up: of version 0 and 1 each
    receipt is written anew, to the byte the same. What an earlier process left unsettled is
    settled. Raises Unavailable (RECEIPT) for a file of a later version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise Unavailable.of(
            Reason.RECEIPT,
            f"a receipts.db of version {VERSION} or earlier",
            f"version {version}",
            "start the Framegate that made it, or a later one",
        )
    if version < VERSION:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if version < _REWRITTEN:
                _make(connection)
            connection.execute(_COMING)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    _write_anew(connection)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        settle(connection)


def _make(connection: sqlite3.Connection) -> None:
    """This version's tables, beside an earlier one's under other names."""
    kinds = "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite_%'"
    tables = {name for (name,) in connection.execute(kinds, ("table",))}
    for kind in ("trigger", "index"):
        for (name,) in connection.execute(kinds, (kind,)).fetchall():
            connection.execute(f"DROP {kind.upper()} {name}")
    pruned = []
    if "leaves" in tables:
        for name in _BEFORE:
            connection.execute(f"ALTER TABLE {name} RENAME TO {name}_before")
    if "usage" in tables:
        pruned = connection.execute("SELECT device, pruned FROM usage").fetchall()
        connection.execute("DROP TABLE usage")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO devices VALUES (0, '')")
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('store', ?)", (secrets.token_hex(16),))
    for device, gone in pruned:
        number = device_number(connection, device)
        connection.execute("INSERT INTO usage VALUES (?, 0, ?)", (number, gone))


def _write_anew(connection: sqlite3.Connection) -> None:
    """Move what stands in tables of an earlier version, the oldest first, a step a transaction."""
    left = "SELECT 1 FROM sqlite_master WHERE name = 'leaves_before'"
    if connection.execute(left).fetchone() is None:
        return
    (count,) = connection.execute("SELECT count(*) FROM leaves_before").fetchone()
    log.warning(
        "%d receipts of an earlier version are written anew; that may be interrupted", count
    )
    writer = LeafWriter(connection, "leaves")
    more = True
    while more:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            more = _leaves_step(connection, writer) or _batches_step(connection)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for name in _BEFORE:
            connection.execute(f"DROP TABLE {name}_before")
    log.warning("all receipts are in the new form")


def _leaves_step(connection: sqlite3.Connection, writer: LeafWriter) -> bool:
    rows = connection.execute(
        "SELECT number, id, kind, device, session, counter, part, at_ms, leaf, payload, metadata,"
        " envelope FROM leaves_before ORDER BY number LIMIT ?",
        (_AT_ONCE,),
    ).fetchall()
    for row in rows:
        if row[2] == PRUNED:
            writer.write_pruned(row[0], row[1], row[7], row[8])
        else:
            writer.write(LeafRow(*row))
    if rows:
        connection.execute("DELETE FROM leaves_before WHERE number <= ?", (rows[-1][0],))
    return bool(rows)


def _batches_step(connection: sqlite3.Connection) -> bool:
    rows = connection.execute(
        "SELECT number, first, count, payload, envelope, log FROM batches_before ORDER BY number"
        " LIMIT ?",
        (_AT_ONCE,),
    ).fetchall()
    for number, first, count, payload, envelope, proof in rows:
        logged = None if proof is None else json.loads(proof)
        write_batch(connection, BatchRow(number, first, count, payload, envelope, logged))
    if rows:
        connection.execute("DELETE FROM batches_before WHERE number <= ?", (rows[-1][0],))
    return bool(rows)
