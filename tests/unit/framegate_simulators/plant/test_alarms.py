"""A fleet's life without a false alarm."""

import pytest

from framegate_simulators.plant.alarms import run_script


@pytest.mark.parametrize("seed", [1, pytest.param(7, marks=pytest.mark.plants)])
@pytest.mark.slow
def test_a_fleets_life_without_a_false_alarm(seed):
    tally = run_script(events=80, tamperings=30, machines=6, seed=seed)
    assert tally["false_alarms"] == [] and tally["missed"] == [] and tally["caught"] == 30
    assert tally["by_kind"]["update"] >= 6 and tally["by_kind"]["power cut"] >= 3
