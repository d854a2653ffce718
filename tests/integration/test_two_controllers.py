"""Two controllers on one PostgreSQL database, as processes, and either of them killed."""

import json

import pytest

from framegate_simulators.fixtures.postgres import local_postgres, programs
from framegate_simulators.plant.paired import SECOND, PairedPlant
from framegate_simulators.plant.processes import wait_for

pytestmark = [
    pytest.mark.plants,
    pytest.mark.skipif(
        programs() is None,
        reason="PostgreSQL 15 or later is not installed: apt-get install postgresql",
    ),
]


@pytest.fixture(scope="module")
def plant():
    with local_postgres() as server, PairedPlant(server, interval_s=4.0) as running:
        running.found_pair()
        running.start_first()
        running.start_second()
        running.framegate("trust", "add-tpm-ca", running.folder / "maker.pem")
        yield running


def states(plant, *, first: bool) -> dict[str, str]:
    who = plant.only(first=first)
    listed = plant.framegate("camera", "list", "-o", "json", who=who).stdout
    return {row["name"]: row["state"] for row in json.loads(listed)}


def counted(plant, event: str) -> int:
    """Entries of the record about something that happened."""
    rows = f"SELECT count(*) FROM log_entries WHERE event = '{event}'"
    return int(plant.server.sql("plant", rows))


def goes_on(plant, attestations: int = 2) -> None:
    """The machine attests so often from now on."""
    before = counted(plant, "attested")
    wait_for("attestations", lambda: counted(plant, "attested") > before + attestations, 120)


def test_each_has_issuing_cas_of_its_own_and_both_serve_a_machine(plant):
    own = {
        name: (plant.folder / name / "keys" / "device-ca.pem").read_bytes()
        for name in ("controller", SECOND)
    }
    assert len(set(own.values())) == 2
    cam = plant.add_machine("cam1")
    plant.join(cam, plant.invite(cam))
    plant.start_agent(cam)
    wait_for("cam1 to be trusted", lambda: cam.status().get("state") == "trusted", 60)
    assert states(plant, first=True) == states(plant, first=False) == {"cam1": "trusted"}


@pytest.mark.parametrize("victim", ["controller", SECOND])
def test_a_machine_goes_over_when_a_controller_is_killed_and_is_never_stale(plant, victim):
    late = counted(plant, "late")
    plant.kill(victim)
    goes_on(plant, 4)  # what stood when it was killed is over by then
    assert states(plant, first=victim == SECOND) == {"cam1": "trusted"}
    assert counted(plant, "late") == late
    (plant.start_first if victim == "controller" else plant.start_second)()


def test_a_change_at_one_is_acted_on_though_the_machine_listens_at_the_other(plant):
    cam = plant.sites["cam1"]
    for first in (True, False):
        who = plant.only(first=first)
        plant.framegate("camera", "quarantine", "cam1", "--reason", "trial", who=who)
        wait_for("the camera to hear", lambda: cam.status().get("state") == "quarantined", 30)
        plant.framegate("camera", "release", "cam1", who=who)
        wait_for("the camera to come back", lambda: cam.status().get("state") == "trusted", 30)


def test_a_rolling_upgrade_is_noticed_by_nobody(plant):
    """Each controller ends in order and another process takes its place, while the machine goes on
    attesting and the other serves; what a next version reads of this one's, test_released.py shows,
    and the same under load test_fleet_simulator.py.
    """
    late = counted(plant, "late")
    for name, start in (("controller", plant.start_first), (SECOND, plant.start_second)):
        process = plant.process(name)
        plant.stop(name)
        assert process.returncode == 0
        goes_on(plant)
        start()
        goes_on(plant)
    assert counted(plant, "late") == late
    assert states(plant, first=True) == states(plant, first=False) == {"cam1": "trusted"}


def test_n85_a_database_that_was_away_is_waited_for_and_everything_goes_on(plant):
    plant.server.halt()
    cam = plant.sites["cam1"]
    wait_for("the machine to get no answer", lambda: cam.status().get("failures"), 120)
    plant.server.resume()
    goes_on(plant)
    wait_for(
        "both to say that it is trusted",
        lambda: states(plant, first=True) == states(plant, first=False) == {"cam1": "trusted"},
        120,
    )


def test_controllers_end_in_order_though_their_database_is_gone(plant):
    plant.server.halt()
    for name in ("controller", SECOND):
        process = plant.process(name)
        plant.stop(name)
        assert process.returncode == 0
    plant.server.resume()
    plant.start_first()
    plant.start_second()
    goes_on(plant)


def test_the_record_is_whole_after_all_of_that(plant):
    state = plant.folder / "controller"
    done = plant.command("framegate-controller", "store", "check", "--state", state, "-o", "json")
    checked = json.loads(done.stdout)
    # it grows on: no index is missing, none is there twice
    now, last = plant.server.sql("plant", "SELECT count(*), max(id) FROM log_entries").split("|")
    assert int(now) == int(last) + 1 >= checked["entries"] > 0


def test_two_with_one_name_do_not_run(plant):
    plant.start(
        "third",
        "framegate-controller",
        *("run", "--state", plant.folder / SECOND, "--name", "controller-1"),
        *("--join-port", "0", "--fleet-port", "0"),
    )
    third = plant.process("third")
    assert third.wait(60) == 5
    assert "no other controller called controller-1" in plant.log_tail("third")
