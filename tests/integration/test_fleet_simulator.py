"""The fleet simulator against a controller that is run: what machines did is in its registry."""

import pytest

from framegate_simulators.fleet.plan import Act, Plan, Shares
from framegate_simulators.fleet.run import run_fleet

pytestmark = [pytest.mark.slow, pytest.mark.plants]


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
    assert result["controller"]["registry_kib_a_device"] > 0 and len(said) == 3
