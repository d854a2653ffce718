"""A SQLite file that a program keeps for itself: one thread of it writes, others read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Unavailable
from framegate_host.private_files import touch_private

_WAIT_S: Final = 30
"""A writer's commit takes milliseconds; a backup that reads the whole file takes seconds."""
MOST_COMPARED: Final = 64 << 20
"""Bytes of a file whose rows are held against their indices when it is opened, too."""
MOST_LOOKED_THROUGH: Final = 256 << 20
"""Bytes of a file that is looked through when it is opened: some tenths of a second of a start. In
a larger one a page that is damaged is found when it is read.
"""
_KIND: Final = 0xFF
"""Of an extended result code."""
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OF_THE_DISK: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
    }
)


def open_sqlite(path: Path, *, power_cut: bool = True) -> sqlite3.Connection:
    """A connection to the file at `path`, good in any thread.

    With `power_cut` what was committed survives one; without, the last commits may be gone, and the
    file is whole all the same. It is its owner's alone, and what SQLite puts beside it gets its
    mode.
    """
    touch_private(path)
    connection = sqlite3.connect(path, check_same_thread=False, timeout=_WAIT_S)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'FULL' if power_cut else 'NORMAL'}")
    return connection


@contextmanager
def opening(path: Path, reason: Reason) -> Iterator[None]:
    """Within this a program opens the file at `path`, and what its disk does to it is said in
    words. Raises Unavailable for `reason`; other errors of SQLite's stay what they are.
    """
    try:
        yield
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorcode", 0) & _KIND
        if kind in _DAMAGED:
            raise damaged(path, error, reason) from error
        if kind in _OF_THE_DISK:
            hint = "look at the disk: is there room, and may it be written? Then start it again"
            raise Unavailable.of(reason, f"{path} on a disk that takes it", error, hint) from error
        raise


def require_sound(connection: sqlite3.Connection, path: Path, reason: Reason) -> None:
    """That all of the file at `path` can be read: each page, row and index, by SQLite's own look at
    it, and of a small one that indices have what rows have. Raises Unavailable for `reason`.
    """
    size = path.stat().st_size
    if size > MOST_LOOKED_THROUGH:
        return
    look = "integrity_check" if size <= MOST_COMPARED else "quick_check"
    said = str(connection.execute(f"PRAGMA {look}(1)").fetchone()[0])
    if said != "ok":
        raise damaged(path, said.splitlines()[-1], reason)


def damaged(path: Path, seen: object, reason: Reason) -> Unavailable:
    """That the file at `path` is damaged, and what to do."""
    hint = f"move {path.name}* out of {path.parent} and keep it; the next start makes a new one"
    return Unavailable.of(reason, f"{path} whole", seen, hint)
