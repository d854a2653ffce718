"""The fleet simulator against a controller that is run: what machines did is in its registry."""

from dataclasses import replace

import pytest

from framegate.errors import Unavailable
from framegate_controller.store.shared.quotas import ATTESTATIONS
from framegate_simulators.fixtures.postgres import programs
from framegate_simulators.fleet.plan import Act, Plan, Shares
from framegate_simulators.fleet.processor_share import processor_share
from framegate_simulators.fleet.run import run_fleet, wrong
from support.before import source_of

pytestmark = [pytest.mark.slow, pytest.mark.plants]
PRESSING = Plan(
    devices=2,
    interval_s=30.0,
    seconds=10.0,
    workers=1,
    seed=9,
    keep=True,
    shares=Shares(0, 0, 0, 0),
    pressing=True,
)


def test_a_small_fleet_lives_and_who_was_tampered_with_is_not_trusted():
    shares = Shares(reboots=25, updates=20, tampered=25, late=0)
    plan = Plan(
        devices=6, interval_s=8.0, seconds=20.0, workers=2, seed=3, keep=True, shares=shares
    )
    said = []
    result = run_fleet(plan, said.append)
    acts, states = result["acts"], result["states"]
    assert result["enrolments"]["joined"] == 6 and sum(states.values()) == 6
    assert {Act.REBOOT, Act.TAMPER} <= set(acts) and states.get("suspect", 0) >= 1
    assert not [error for error in result["errors"] if error.startswith("tampered: is ")]
    assert result["attestations"]["done"] > 6
    assert (
        result["controller"]["registry_kib_a_device"] > 0
        and len(said) == 3
        and result["entries"] > 6
    )


@pytest.mark.skipif(
    programs() is None, reason="PostgreSQL 15 or later is not installed: apt-get install postgresql"
)
def test_n106_a_rolling_restart_of_two_controllers_under_load_is_noticed_by_nobody():
    """Machines attest at both all the time; each controller ends in order and another process takes
    its place. What a next version reads of this one's rows, test_released.py shows.
    """
    shares = Shares(reboots=5, updates=5, tampered=0, late=0)
    plan = Plan(
        devices=24,
        interval_s=12.0,
        seconds=60.0,
        workers=2,
        seed=5,
        keep=True,
        shares=shares,
        controllers=2,
        database=True,
        rolling=True,
    )
    result = run_fleet(plan, lambda _: None)
    # a join port that is busy sends whoever joins away for a moment, and they come again
    assert [problem for problem in wrong(result) if "join: too-many-tries" not in problem] == []
    assert [one["code"] for one in result["restarts"]] == [0, 0]
    # nobody was late meanwhile; when the controllers have ended, machines have been silent a while
    assert result["went_over"] > 0 and set(result["states"]) <= {"trusted", "stale"}
    # what a machine was answered stands in the record, and what it was not told as a call was cut
    assert result["attested"] >= result["attestations"]["done"]


@pytest.mark.skipif(
    programs() is None, reason="PostgreSQL 15 or later is not installed: apt-get install postgresql"
)
def test_n226_controllers_of_before_are_replaced_under_load(tmp_path):
    """0.1.0 founds a fleet and serves it with two controllers; each is replaced in turn while
    machines attest with 0.1.0's messages. How long anybody had to wait is the host's load.
    """
    plan = Plan(
        devices=6,
        interval_s=15.0,
        seconds=50.0,
        workers=1,
        seed=7,
        keep=True,
        shares=Shares(reboots=5, updates=0, tampered=0, late=0),
        controllers=2,
        database=True,
        rolling=True,
        before=str(source_of("v0.1.0", tmp_path)),
    )
    result = run_fleet(plan, lambda _: None)
    assert [one["code"] for one in result["restarts"]] == [0, 0]
    assert {error.rpartition(": ")[2] for error in result["errors"]} <= {
        "unavailable",
        "too-many-tries",
    }
    assert set(result["states"]) <= {"trusted", "stale"} and result["enrolments"]["joined"] == 6
    alone, beside, _ = result["forms"]
    assert beside["results"] > alone["results"] > 0
    assert (beside["new_evidence"], beside["new_results"]) == (0, 0)
    assert result["all_read"] and result["attested"] >= result["attestations"]["done"]


def _may_share_processors() -> bool:
    try:
        with processor_share(50):
            return True
    except Unavailable:
        return False


@pytest.mark.skipif(
    programs() is None, reason="PostgreSQL 15 or later is not installed: apt-get install postgresql"
)
@pytest.mark.skipif(not _may_share_processors(), reason="control groups are not this user's")
def test_controllers_with_half_a_processor_each_use_no_more_of_it():
    shared = replace(PRESSING, devices=8, seconds=5.0, controllers=2, database=True)
    plan = replace(shared, share=50.0)
    result = run_fleet(plan, lambda _: None)
    assert wrong(result) == [] and result["states"] == {"trusted": 8}
    done = result["attestations"]
    assert done["done"] >= 8 and 0 < done["controller_cores"] < 1.1
    assert result["turns"]["held"] > 0


def test_machines_that_press_ask_for_more_than_the_share_of_one():
    result = run_fleet(PRESSING, lambda _: None)
    assert wrong(result) == [] and result["attestations"]["done"] > PRESSING.devices * ATTESTATIONS
