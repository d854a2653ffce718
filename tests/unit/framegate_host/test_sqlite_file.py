"""A file of SQLite's that one process writes while others come and go."""

import sqlite3
import subprocess
import sys

import pytest

from framegate.errors import Reason, Unavailable
from framegate_controller.store.database import open_registry
from framegate_gateway.receipts.store import ReceiptStore
from framegate_host import sqlite_file
from framegate_host.private_files import touch_private
from framegate_host.report_store import ReportStore
from framegate_host.sqlite_file import open_sqlite, opening, require_sound
from framegate_line.ledger import Ledger

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


KEEPERS = {
    "receipts": (lambda folder: ReceiptStore(folder), "receipts.db", Reason.RECEIPT),
    "reports": (lambda folder: ReportStore(folder), "reports.db", Reason.REPORT),
    "ledger": (lambda folder: Ledger(folder / "ledger.db", "press-7"), "ledger.db", None),
}
HARM = {
    "no database any more": lambda path: path.write_bytes(b"x" * 8192),
    "a page of zeros": lambda path: _over(path, 1, bytes(4096)),
    "noise": lambda path: _over(path, 1, bytes(range(256)) * 16),
}


def _over(path, page: int, data: bytes) -> None:
    with path.open("r+b") as raw:
        raw.seek(page * 4096)
        raw.write(data)


def _close(opened) -> None:
    (opened.store if hasattr(opened, "store") else opened).close()


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("keeper", KEEPERS)
def test_n85_a_file_that_is_damaged_is_told_as_that_and_a_new_one_is_made(tmp_path, keeper, harm):
    begin, name, reason = KEEPERS[keeper]
    folder = tmp_path / "state"
    _close(begin(folder))
    assert (folder / name).stat().st_size >= 3 * 4096
    HARM[harm](folder / name)
    with pytest.raises(Unavailable) as caught:
        begin(folder)
    assert caught.value.reason == (reason or Reason.UNAVAILABLE)
    assert f"{folder / name} whole" in str(caught.value) and f"move {name}*" in str(caught.value)
    for file in folder.glob(f"{name}*"):  # as it was told to
        file.rename(tmp_path / file.name)
    _close(begin(folder))


@pytest.mark.parametrize("keeper", KEEPERS)
def test_n85_a_disk_that_takes_nothing_is_told_as_that(tmp_path, keeper, monkeypatch):
    begin, name, reason = KEEPERS[keeper]
    folder = tmp_path / "state"
    _close(begin(folder))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    connect = sqlite3.connect

    def fails(*arguments, **how):
        class Broken(sqlite3.Connection):
            def execute(self, *_):
                raise error

        return connect(*arguments, **how, factory=Broken)

    monkeypatch.setattr(sqlite3, "connect", fails)
    with pytest.raises(Unavailable) as caught:
        begin(folder)
    assert caught.value.reason == (reason or Reason.UNAVAILABLE)
    assert str(folder / name) in str(caught.value) and "look at the disk" in str(caught.value)
    monkeypatch.undo()
    _close(begin(folder))


def test_what_is_no_fault_of_the_disk_stays_what_it_is(tmp_path):
    with (
        pytest.raises(sqlite3.OperationalError, match="syntax"),
        opening(tmp_path / "x", Reason.REPORT),
    ):
        sqlite3.connect(":memory:").execute("NO SQL")


def test_a_large_file_is_not_looked_through(tmp_path, monkeypatch):
    connection = open_sqlite(tmp_path / "store.db")
    connection.execute("CREATE TABLE t (x)")
    asked = []
    connection.set_trace_callback(asked.append)
    for compared, looked, wanted in (
        (1 << 30, 1 << 30, "integrity"),
        (0, 1 << 30, "quick"),
        (0, 0, ""),
    ):
        monkeypatch.setattr(sqlite_file, "MOST_COMPARED", compared)
        monkeypatch.setattr(sqlite_file, "MOST_LOOKED_THROUGH", looked)
        asked.clear()
        require_sound(connection, tmp_path / "store.db", Reason.REPORT)
        assert [f"{wanted}_check(1)" in line for line in asked] == [True] * bool(wanted)
    connection.close()
