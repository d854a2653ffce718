"""What another version would do to a registry, tried on a copy; and a registry of a later one."""

import json
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from framegate.errors import Reason, Refused
from framegate_controller.main import app
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import open_registry, schema_steps
from support.flipped import flipped
from support.registries import Registry

LATER = "9999"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = Registry(tmp_path_factory.mktemp("fleet") / "f")
    made.grow(5)
    return made


def stamp(at: StoreAt, number: str) -> None:
    with closing(sqlite3.connect(at.file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (number,))


@pytest.fixture
def later(folder):
    before = schema_steps(StoreAt(folder.folder)).present
    stamp(StoreAt(folder.folder), LATER)
    yield folder
    stamp(StoreAt(folder.folder), before)


def ran(at: StoreAt, *argv: str):
    return CliRunner().invoke(app, ["upgrade", "--state", str(at.state), *argv])


def test_a_check_says_what_would_change_and_leaves_nothing_behind(folder):
    before = {p.name: p.stat().st_size for p in folder.folder.iterdir()}
    done = ran(StoreAt(folder.folder), "--check", "-o", "json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["schema"]["steps"] == [] and told["schema"]["present"] == told["schema"]["newest"]
    assert told["record"]["entries"] >= 5 and told["done"] is False
    assert {p.name: p.stat().st_size for p in folder.folder.iterdir()} == before


def test_steps_are_named(folder):
    newest = schema_steps(StoreAt(folder.folder)).newest
    stamp(StoreAt(folder.folder), f"{int(newest) - 1:04}")
    try:
        (step,) = schema_steps(StoreAt(folder.folder)).steps
    finally:
        stamp(StoreAt(folder.folder), newest)
    assert step.startswith(newest)


def test_a_registry_of_a_later_version_is_left_alone(later):
    with pytest.raises(Refused, match=LATER) as refused:
        open_registry(later.folder / "registry.db")
    assert refused.value.reason == Reason.CONFLICT
    done = ran(StoreAt(later.folder), "--check")
    assert done.exit_code not in {0, 1} and LATER in done.output and "Traceback" not in done.output


def test_nothing_there_is_told(tmp_path):
    done = ran(StoreAt(tmp_path / "none"))
    assert done.exit_code == 3, done.output
    assert "init" in done.output


def test_a_record_that_does_not_hold_stops_it(folder):
    with closing(sqlite3.connect(folder.folder / "registry.db")) as connection:
        (entry,) = connection.execute("SELECT entry FROM log_entries WHERE id = 2").fetchone()
        with connection:
            connection.execute("UPDATE log_entries SET entry = ? WHERE id = 2", (flipped(entry),))
        try:
            done = ran(StoreAt(folder.folder), "--check")
        finally:
            with connection:
                connection.execute("UPDATE log_entries SET entry = ? WHERE id = 2", (entry,))
    assert isinstance(done.exception, SystemExit) and "audit" in done.output
