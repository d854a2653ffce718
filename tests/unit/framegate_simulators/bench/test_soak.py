"""What a soak calls growing, and what it does not."""

import sqlite3
from contextlib import closing

import pytest

from framegate_simulators.bench.soak import (
    GREW_KIB,
    LEAST_RECEIPTS,
    RECEIPT_BYTES,
    Memory,
    Room,
    far,
)


@pytest.mark.parametrize(
    ("series", "grows"),
    [
        ([92_000] * 100, False),
        ([50_000 + 420 * n for n in range(100)], True),
        ([60_000 + min(n, 30) * 1000 for n in range(100)], False),  # warms up, then is flat
        ([92_000 + (n % 7) * 200 for n in range(100)], False),  # up and down
        ([92_000 + n * 190 for n in range(100)], True),  # 19 MiB over the run, as it once was
        ([92_000] * 75 + [92_000 + 2 * GREW_KIB] * 25, True),
    ],
)
def test_growth_after_the_warm_up_is_told(series, grows):
    assert Memory.of(series, 40).grows == grows


def test_a_picture_is_a_line_of_bars():
    picture = Memory.of([50_000 + 420 * n for n in range(100)], 40).picture
    assert 40 <= len(picture) <= 50 and picture[-1] == "█" and picture[0] < picture[-1]


def leaves_of(path, counts, size=1):
    """A file with so many leaves of each kind, and a table beside that has `size` bytes."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE leaves (kind INTEGER NOT NULL)")
        connection.execute("CREATE TABLE roots (root BLOB NOT NULL)")
        rows = [(kind,) for kind, count in enumerate(counts) for _ in range(count)]
        connection.executemany("INSERT INTO leaves VALUES (?)", rows)
        connection.execute("INSERT INTO roots VALUES (?)", (bytes(size),))
    return path


def test_a_receipt_takes_what_its_file_has_by_table(tmp_path):
    room = Room.of(leaves_of(tmp_path / "r.db", (3, 1, 2, 5), 40_000))
    assert room.kept == 4 and set(room.tables) == {"sqlite_schema", "leaves", "roots"}
    assert room.tables["roots"] == 40_960 and room.each == (40_960 + 2 * 4_096) / 4
    assert not room.over, "too few to say anything"


@pytest.mark.parametrize(("size", "over"), [(1, False), (1.1, True)])
def test_a_receipt_that_takes_too_much_is_told(tmp_path, size, over):
    blob = int(size * RECEIPT_BYTES * LEAST_RECEIPTS) - 40_000
    assert Room.of(leaves_of(tmp_path / "r.db", (LEAST_RECEIPTS,), blob)).over == over


def test_a_file_without_receipts_says_nothing(tmp_path):
    room = Room.of(leaves_of(tmp_path / "r.db", (0, 0, 9, 9)))
    assert room.each == 0 and not room.over


@pytest.mark.parametrize(
    ("lasted_s", "parts", "says"),
    [
        (0.1, 0, "warming up, until 5000"),
        (120.0, 1_500, "warming up, until 5000"),
        (120.0, 600, "too short to be judged, it takes MINUTES=18"),
        (300.0, 1, "too short to be judged"),
        (600.0, 5_000, "judged"),
    ],
)
def test_a_run_says_how_far_it_is_and_whether_it_will_be_judged(lasted_s, parts, says):
    line = far(lasted_s, 900.0, parts)
    assert says in line
    assert line.startswith(f"{lasted_s / 60:.0f} of 15 min, {parts} parts: ")


def test_a_pace_of_nothing_is_told_too():
    assert "too short" in far(300.0, 900.0, 0)
