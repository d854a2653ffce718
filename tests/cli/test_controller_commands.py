"""What only the controller's own host may do: found, recover, seal, sign; and what the record
says of it.
"""

import getpass
import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from framegate_controller.main import app
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import EntryQuery
from framegate_simulators.fixtures.access import add_person
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of

PASSWORD = "correct horse battery staple\n"


@pytest.fixture(scope="module")
def founded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("founded")
    (folder / "password").write_text(PASSWORD)
    done = command(
        "init",
        "--operator",
        "anna",
        "--password-file",
        folder / "password",
        "-o",
        "json",
        state=folder,
    )
    assert len(json.loads(done.stdout)["recovery_codes"]) == 10
    return folder


@pytest.fixture
def state(founded, tmp_path) -> Path:
    return shutil.copytree(founded, tmp_path / "state")


def command(*argv: object, state: Path, code: int = 0):
    done = CliRunner().invoke(app, [*map(str, argv), "--state", str(state)])
    assert done.exit_code == code, (done.output, done.stderr, done.exception)
    return done


def entries(state: Path) -> list[dict]:
    store = open_registry(state / "registry.db")
    with store.reading() as tx:
        bodies = [
            json.loads(e.entry)
            for e in tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=100)
        ]
    store.close()
    return bodies


def test_a_fleet_is_founded_with_a_policy_and_one_operator(state):
    store = open_registry(state / "registry.db")
    with store.reading() as tx:
        anna = tx.people.find("anna")
        assert tx.policies.current().version == 1 and [p.name for p in tx.people.all()] == ["anna"]
        assert (
            anna.setup_admin
            and anna.vouched
            and anna.factors.password
            and anna.factors.totp
            and not anna.factors.enrolment
        )
    store.close()
    assert [(e["event"], e["actor"]) for e in entries(state)] == [
        ("policy-applied", "controller"),
        ("operator-added", "host"),
    ]
    context = json.loads((state / "context.json").read_text())
    assert context["server_name"] == "controller.plant.framegate" and "key" not in context
    assert stat.S_IMODE((state / "registry.db").stat().st_mode) == 0o600
    assert "no fleet in" in command("init", "--operator", "anna", state=state, code=5).stderr


def test_a_controller_does_not_run_on_a_registry_without_a_policy(state):
    """A registry that was lost is restored, not begun anew: a default policy would let in whom
    the lost one kept out.
    """
    for path in state.glob("registry.db*"):
        path.unlink()
    refused = command("run", "--join-port", 0, "--fleet-port", 0, state=state, code=4)
    assert (
        "policy-invalid" in refused.stderr
        and "framegate-controller init" in refused.stderr
        and "restore" in refused.stderr
    )
    assert entries(state) == []


def test_what_is_done_at_the_host_is_recorded_by_who_is_logged_in_there(state, tmp_path):
    me = f"host.{getpass.getuser()}"
    command("break-glass", "--out", tmp_path / "sealed", state=state)
    assert stat.S_IMODE((tmp_path / "sealed").stat().st_mode) == 0o600
    assert command("recover-operator", "ann", state=state).stdout.strip()
    (tmp_path / "p.toml").write_text(profile_toml(Firmware("simulated-camera"), "simulated-camera"))
    (tmp_path / "p.allowlist").write_bytes(allowlist_of("simulated-camera", Firmware("x").release))
    shown = command(
        "profile", "add", tmp_path / "p.toml", "--allowlist", tmp_path / "p.allowlist", state=state
    )
    assert "profile simulated-camera" in shown.stderr and "is in force" in shown.stderr
    assert [(e["event"], e["actor"]) for e in entries(state)[2:]] == [
        ("break-glass-sealed", me),
        ("operator-factors-reset", me),
        ("profile-added", me),
    ]


def test_nobody_is_recovered_where_a_decision_takes_two(state, founded):
    from framegate_controller.ca.open import load_fleet
    from framegate_controller.people.operators import set_quorum

    store = open_registry(state / "registry.db")
    add_person(store, load_fleet(state / "keys"), "sara", "security")
    with store.writing() as tx:
        set_quorum(tx, 2)
    store.close()
    assert "reset-mfa anna" in command("recover-operator", "anna", state=state, code=4).stderr


def test_allowlists_and_signers(state, tmp_path):
    (tmp_path / "a").write_bytes(allowlist_of("simulated-camera", Firmware("x").release))
    assert "sha256:" in command("profile", "allowlist", tmp_path / "a", state=state).stderr
    command("profile", "signer", "carla", "--out", tmp_path / "carla.pem", state=state)
    assert b"BEGIN CERTIFICATE" in (tmp_path / "carla.pem").read_bytes()


def test_certificates_for_servers_and_lines(state, tmp_path):
    command("server-certificate", "broker", "--out", tmp_path / "broker", state=state)
    assert {p.name for p in (tmp_path / "broker").iterdir()} == {
        "broker.key",
        "broker.pem",
        "root.pem",
        "clients.pem",
    }
    command("line-certificate", "line-1", "--out", tmp_path / "line", state=state)
    assert {p.name for p in (tmp_path / "line").iterdir()} == {
        "line.key",
        "line.pem",
        "root.pem",
        "authorities.pem",
    }
    assert stat.S_IMODE((tmp_path / "line").stat().st_mode) == 0o700
    store = open_registry(state / "registry.db")
    with store.reading() as tx:
        asked = EntryQuery(event="certificate-handed-out")
        logged = tx.log.entries(asked, first=0, below=tx.log.size(), most=9)
    store.close()
    assert all(e.actor.startswith("host.") for e in logged)
    members = [json.loads(e.entry)["members"] for e in logged]
    (chain,) = x509.load_pem_x509_certificates((tmp_path / "line" / "line.pem").read_bytes())[:1]
    assert [m["subject"] for m in members][1:] == ["line.line-1"]
    assert members[0]["subject"].startswith("broker.")
    assert members[1]["serial"] == f"{chain.serial_number:x}"
    assert members[1]["ends_ms"] == chain.not_valid_after_utc.timestamp() * 1000


def test_what_cannot_be_recorded_is_handed_to_nobody(state, tmp_path):
    (state / "registry.db").write_bytes(b"no registry" * 100)
    command("line-certificate", "line-1", "--out", tmp_path / "line", state=state, code=7)
    assert not list((tmp_path / "line").glob("*.key"))
