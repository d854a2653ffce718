"""A file of SQLite's that one process writes while others come and go."""

import subprocess
import sys

import pytest

from framegate_controller.store.database import open_registry
from framegate_host.private_files import touch_private
from framegate_host.sqlite_file import open_sqlite

ANOTHER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    print(connection.execute("SELECT count(*) FROM t").fetchone()[0])
connection.close()
"""


def seen_by_another_process(path) -> int:
    """Rows that another program sees, which opens the file, reads and closes it."""
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER, path], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


AGAIN = {
    "a reader of our own": lambda path: open_sqlite(path).close(),
    "what opens it next": touch_private,
}


@pytest.mark.parametrize("again", AGAIN)
def test_n85_another_process_that_closes_the_file_takes_no_commit_of_ours_with_it(tmp_path, again):
    """Whoever opens and closes a file loses all its process' POSIX locks on it: the next program
    that closes the database took itself for the last, removed the journal, and what was committed
    from then on was gone with this process.
    """
    path = tmp_path / "store.db"
    ours = open_sqlite(path)
    ours.execute("CREATE TABLE t (x)")
    ours.commit()
    AGAIN[again](path)
    assert seen_by_another_process(path) == 0
    assert path.with_name("store.db-wal").exists(), "the journal is still ours"
    ours.execute("INSERT INTO t VALUES (1)")
    ours.commit()
    assert seen_by_another_process(path) == 1
    ours.close()


def test_n85_nor_does_a_registry_that_is_opened_twice(tmp_path):
    path = tmp_path / "registry.db"
    store = open_registry(path)
    with store.writing() as tx:
        tx.settings.put("t", "0")
    open_registry(path).close()
    subprocess.run(
        [sys.executable, "-c", ANOTHER.replace("FROM t", "FROM settings"), path], check=True
    )
    with store.writing() as tx:
        tx.settings.put("x", "y")
    assert path.with_name("registry.db-wal").exists()
    store.close()
    again = open_registry(path)
    with again.reading() as tx:
        assert tx.settings.get("x") == "y"
    again.close()
