"""The guide about backups, followed word for word: every command in it that the controller's host
types, on a fleet that lies where the guide says.
"""

import json
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from framegate_controller.main import app
from framegate_controller.record.ledger import checkpoint
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_host.witness_file import write_head
from support.paths import ROOT
from support.registries import Registry

GUIDE = ROOT / "docs" / "guides" / "operators" / "backup.md"
PROGRAM = "framegate-controller"


def commands() -> list[list[str]]:
    """Blocks of commands in the guide, in their order."""
    lines = [x.strip() for x in GUIDE.read_text().splitlines() if x.startswith("    " + PROGRAM)]
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture
def host(tmp_path, monkeypatch) -> Registry:
    """A controller's host with a fleet, a disk for backups, and a witness's file beside."""
    registry = Registry(tmp_path / "controller")
    registry.grow()
    (tmp_path / "mnt").mkdir()
    monkeypatch.setenv("FRAMEGATE_CONTROLLER_STATE", str(registry.folder))
    monkeypatch.chdir(tmp_path)
    return registry


def typed(argv: list[str], code: int = 0):
    argv = [a.replace("/mnt/backup/", "mnt/") for a in argv]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == code, (argv, done.output, done.stderr, done.exception)
    return done


def test_the_guide_followed_word_for_word(host, tmp_path):
    backup, restore, run, good, rehearse = commands()
    told = typed(backup).stderr
    assert "passphrase" in told and "elsewhere" in told
    shutil.copy(tmp_path / "mnt" / "fleet.tar", tmp_path / "fleet.tar")
    shutil.copy(host.passphrase, tmp_path / "passphrase")
    (tmp_path / "passphrase").chmod(0o600)
    copy = host.copy(tmp_path / "copy")
    write_head(tmp_path / "heads", host.grow(4))

    typed(rehearse)
    shutil.rmtree(tmp_path / "rehearsal")
    typed(restore, code=5)  # never over the fleet that is there
    shutil.rmtree(host.folder)
    done = typed(restore)
    assert "entries of the record" in done.stdout and "restoration 1" in done.stderr
    assert run[0] == "run" and run[1:] == ["--passphrase-file", "passphrase"]
    settings = ControllerSettings(
        state=host.folder,
        passphrase_file=tmp_path / run[2],
        join_port=0,
        fleet_port=0,
        witness=(tmp_path / "heads",),
    )
    controller = Controller(settings)  # starts: its witness follows the restoration
    with controller.store.writing() as tx:
        assert write_head(tmp_path / "heads", checkpoint(tx, controller.fleet.keys))
    controller.store.close()

    host.put_back(copy)
    made = json.loads(typed([*good, "-o", "json"]).stdout)
    assert made["restoration"] == 2, "counted on from what the witness knew"


def test_a_backup_is_an_entry_of_the_record_by_whoever_typed_it(host, tmp_path):
    typed(["backup", "--out", "b.tar", "-o", "json"])
    store = host.store()
    with store.reading() as tx:
        entry = json.loads(tx.log.entry(tx.log.size() - 1).entry)
    store.close()
    assert entry["event"] == "registry-backed-up" and entry["actor"].startswith("host.")
    assert entry["members"] == {"file": "b.tar"}
