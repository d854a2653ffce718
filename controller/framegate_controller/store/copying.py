"""A consistent copy of a registry that is in use, and whether a copy is whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from framegate.errors import Malformed, Reason
from framegate_host.private_files import touch_private

PAGES: Final = 4_096
"""Pages of one step, 16 MiB: between two steps whoever writes has its turn, and the copy begins
again where it was written meanwhile.
"""
WAIT_S: Final = 30.0


def copy_registry(path: Path, to: Path) -> None:
    """Copy the registry at `path`, which may be in use, to the new private file `to`: one moment of
    it, whole (SQLite's online backup).
    """
    touch_private(to)
    with (
        closing(sqlite3.connect(path, timeout=WAIT_S)) as source,
        closing(sqlite3.connect(to, timeout=WAIT_S)) as target,
    ):
        source.backup(target, pages=PAGES)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def require_whole_file(path: Path) -> None:
    """That every page and index of the registry at `path` holds. Raises Malformed (AUDIT)."""
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_S)) as connection:
            (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        answer = f"{type(error).__name__}: {error}"
    if answer != "ok":
        hint = "take another backup"
        raise Malformed.of(Reason.AUDIT, f"a whole registry in {path.name}", answer, hint)
