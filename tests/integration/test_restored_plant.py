"""N148 in a running plant: an old copy is put back, is noticed by gateway, camera and witness, and
is made good by the command they name; then the fleet moves to another folder by two commands.
"""

import contextlib
import json
import shutil
import sqlite3
import time

import pytest

from framegate.record.witness import parse_head
from framegate_host.witness_file import last_head
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import answers, wait_for
from support.site import Site

pytestmark = [pytest.mark.swtpm, pytest.mark.alone]

STEP_S = 30
"""A TOTP code counts in its step alone, and none of before a restoration counts after it."""


@pytest.fixture(scope="module")
def site():
    with Plant() as plant, plant.explained():
        yield Site(plant)


def restart_on(site: Site, change) -> None:
    site.plant.stop("controller")
    change()
    site.plant.start_controller()


def sign_in_again(site: Site) -> None:
    step = time.time() // STEP_S
    wait_for("the next code", lambda: time.time() // STEP_S > step, STEP_S + 5)
    site.plant.sign_in("anna")


def test_n148_an_old_copy_is_noticed_by_everybody_and_made_good(site):
    plant, state = site.plant, site.plant.folder / "controller"
    heads, copy = plant.folder / "heads", plant.folder / "copy"
    plant.framegate("audit", "witness", heads)
    restart_on(site, lambda: shutil.copytree(state, copy))
    site.goes_on()
    kept = size_of(heads)
    plant.framegate("camera", "attest", "cam1", check=False)
    plant.framegate("audit", "witness", heads)
    assert size_of(heads) > kept
    restart_on(site, lambda: None)  # the camera looks at each of its connections
    wait_for("camera and gateway to look", lambda: remembered(site) >= size_of(heads), 30)

    def put_back() -> None:
        shutil.rmtree(state)
        shutil.copytree(copy, state)

    restart_on(site, put_back)
    wait_for("the camera to notice", lambda: site.camera.status().get("controller"), 30)
    before = site.inspected()
    status = plant.command("framegate-agent", "status", "--state", site.camera.disk, check=False)
    assert status.returncode == 6 and "framegate-controller restore" in status.stdout
    witness = plant.framegate("audit", "witness", heads, check=False)
    assert witness.returncode == 6 and "framegate-controller restore" in witness.stderr
    wait_for(
        "the gate to close", lambda: "controller-behind" in plant.log_tail("gateway-gw1", 50), 20
    )
    assert site.inspected() <= before + 4, "what was on its way is answered, and nothing else"

    plant.stop("controller")
    done = plant.command(
        "framegate-controller", "restore", "--state", state, "--seen", heads, "-o", "json"
    )
    told = json.loads(done.stdout)
    assert told["restoration"] == 1 and told["revision"] > 2**32
    assert told["seen_entries"] > told["kept_entries"]
    plant.start_controller()
    site.goes_on()
    assert not site.camera.status()["controller"]
    sign_in_again(site)
    followed = plant.framegate("audit", "witness", heads)
    assert "were lost" in followed.stderr
    plant.framegate("audit", "export", "--out", plant.folder / "log")
    verified = plant.framegate(
        "audit",
        "verify",
        plant.folder / "log",
        "--root",
        plant.folder / "log.root.pem",
        "--witness",
        heads,
        "-o",
        "json",
    )
    assert json.loads(verified.stdout)["lost"]


def test_n148_two_commands_on_a_fresh_machine(site):
    plant, state = site.plant, site.plant.folder / "controller"
    archive, old = plant.folder / "fleet.tar", plant.folder / "controller.old"
    plant.command("framegate-controller", "backup", "--state", state, "--out", archive)
    plant.framegate("audit", "witness", plant.folder / "heads")
    site.goes_on()
    plant.stop("controller")
    state.rename(old)
    passphrase = old / "keys" / "passphrase"
    plant.command(
        "framegate-controller",
        "restore",
        archive,
        "--state",
        state,
        "--passphrase-file",
        passphrase,
        "--seen",
        plant.folder / "heads",
        "--seen",
        old / "log-heads",
    )
    shutil.copy(passphrase, state / "keys" / "passphrase")  # the plant starts it without a flag
    plant.start_controller()
    wait_for("the join port to be there again", lambda: answers(plant.join_port), 30)
    site.goes_on()
    sign_in_again(site)
    wait_for("receipts to be recorded again", lambda: unrecorded(site) <= 1, 90)
    told = plant.framegate("audit", "witness", plant.folder / "heads").stderr
    assert "restored from a backup" in told, told


def size_of(heads) -> int:
    last = last_head(heads)
    return parse_head(last).size if last else 0


def remembered(site: Site) -> int:
    """What both the camera and the gateway have seen of the record."""
    gateway = site.gateway.machine.folder / "gateway" / "record-head"
    return min(size_of(gateway), size_of(site.camera.disk / "record-head"))


def unrecorded(site: Site) -> int:
    """Batches of receipts whose entry the controller's record does not have."""
    path = site.gateway.machine.folder / "gateway" / "receipts.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT count(*) FROM batches WHERE log IS NULL"
        return int(connection.execute(query).fetchone()[0])
