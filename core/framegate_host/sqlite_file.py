"""A SQLite file that a program keeps for itself: one thread of it writes, others read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from framegate_host.private_files import touch_private

_WAIT_S: Final = 30
"""A writer's commit takes milliseconds; a backup that reads the whole file takes seconds."""


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
