"""Where a registry is: looked at, moved to a database and back, shared by a second controller."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate_controller.ca.keys import ISSUING
from framegate_controller.main import app
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import schema_steps
from support.registries import Registry


@pytest.fixture
def state(tmp_path) -> Path:
    registry = Registry(tmp_path / "state")
    registry.grow(9)
    return registry.folder


def command(*argv: object, state: Path, code: int = 0):
    done = CliRunner().invoke(app, [*map(str, argv), "--state", str(state)])
    assert done.exit_code == code, (done.output, done.stderr, done.exception)
    return done


def checked(state: Path) -> dict[str, object]:
    return json.loads(command("store", "check", "-o", "json", state=state).stdout)


def test_a_file_is_looked_at_and_brought_up_to_date(state):
    assert checked(state)["entries"] >= 9
    assert "is whole" in command("store", "check", state=state).stderr
    newest = schema_steps(StoreAt(state)).newest
    assert f"schema {newest}" in command("store", "migrate", state=state).stderr


@pytest.mark.parametrize("verb", ["check", "migrate"])
def test_nobodys_file_is_made_by_looking_for_one(tmp_path, verb):
    refused = command("store", verb, state=tmp_path, code=3)
    assert "framegate-controller init" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_registry_in_a_file_is_not_shared_and_not_moved_to_where_it_is(state, tmp_path):
    refused = command("add-controller", tmp_path / "second", state=state, code=2)
    assert "store move" in refused.stderr
    assert not (tmp_path / "second").exists()
    command("store", "move", "--to", "", state=state, code=2)
    refused = command(
        "store", "move", "--to", "postgresql://a@db.example.net/fleet", state=state, code=2
    )
    assert "verify-full" in refused.stderr


def test_to_a_database_and_back_with_every_later_command_finding_it(
    state, new_database, tmp_path, postgres
):
    before, address = checked(state), new_database()
    moved = json.loads(command("store", "move", "--to", address, "-o", "json", state=state).stdout)
    assert moved["root"] == before["root"]
    assert (state / "registry.db.moved").exists()
    assert not (state / "registry.db").exists()
    assert checked(state)["store"] == address.partition("?")[0]
    command("break-glass", "--out", tmp_path / "sealed", state=state)
    backup = tmp_path / "backup.tar"
    command("backup", "--out", backup, state=state)
    after = checked(state)
    assert after["entries"] == before["entries"] + 2  # the seal, the backup

    second = tmp_path / "second"
    command("add-controller", second, state=state)
    command("add-controller", second, state=state, code=5)
    keys = {folder: folder / "keys" for folder in (state, second)}
    for label in ISSUING:
        one, other = ((keys[f] / f"{label}.pem").read_bytes() for f in (state, second))
        assert one != other, label
    for label in ("root", "log", "policy"):
        one, other = ((keys[f] / f"{label}.pem").read_bytes() for f in (state, second))
        assert one == other, label
    assert (second / "keys" / "passphrase").read_bytes() != (
        state / "keys" / "passphrase"
    ).read_bytes()
    assert checked(second)["entries"] == after["entries"] + len(ISSUING)

    back = json.loads(command("store", "move", "--to", "", "-o", "json", state=state).stdout)
    assert back["root"] == checked(state)["root"]
    assert checked(state)["store"] == str(state / "registry.db")


def test_a_fleet_is_founded_in_a_database_and_not_over_another(new_database, tmp_path):
    address = new_database()
    (tmp_path / "password").write_text("correct horse battery staple\n")
    found = ("init", "--operator", "anna", "--password-file", tmp_path / "password")
    command(*found, "--store", address, state=tmp_path / "one")
    assert not (tmp_path / "one" / "registry.db").exists()
    assert checked(tmp_path / "one")["entries"] == 2
    refused = command(*found, "--store", address, state=tmp_path / "other", code=5)
    assert "no fleet in" in refused.stderr
    assert not (tmp_path / "other" / "keys").exists()
