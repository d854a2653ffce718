"""What is simulated of an attestation is all that was measured of it, alone and together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_simulators.fleet.load import (
    CONTROLLER,
    MACHINES,
    MEASURED,
    TURN,
    Cost,
    Load,
    Way,
)
from support.measured_run import measured_run

MS = st.just(0.0) | st.floats(0.01, 100)
COSTS = st.builds(Cost, MS, MS, MS)


def way(controller_ms, machine_ms, alone_ms, begin) -> Way:
    return Way(1.0, Cost.even(controller_ms), Cost.even(machine_ms), alone_ms, begin)


@pytest.mark.parametrize("crowd", [True, False])
@pytest.mark.parametrize(
    "way",
    [
        way(8.8, 3.0, 14.8, 0.24),
        way(12.0, 3.0, 10.0, 0.3),
        way(5.0, 30.0, 20.0, 0.3),
        way(0.0, 0.0, 7.0, 1.0),
        Way(1.0, Cost(8.8, 5.0, 2.0), Cost(3.0, 2.0, 1.0), 14.8, 0.24, 40),
    ],
)
def test_the_stages_are_all_that_was_measured(way, crowd):
    """Until the answer it takes as long as it took alone, or as the machine worked where its
    process did something beside; the controller's processor does all that it did.
    """
    until, behind = way.stages(2.5, 32, crowd=crowd), way.behind(32)
    stages = until + behind

    def ms(stage) -> float:
        return 1e3 * (stage.seconds + stage.shared_s + stage.waking_s)

    assert sum(map(ms, until)) == pytest.approx(max(way.alone_ms, way.machine.alone_ms))
    of_controller = sum(ms(stage) for stage in stages if stage.station == CONTROLLER)
    assert of_controller == pytest.approx(way.controller.alone_ms)
    assert any(s.station == MACHINES for s in stages) == (crowd and way.machine.alone_ms > 0)
    assert sum(ms(stage) for stage in stages if stage.station == TURN) <= 2.5
    assert all(ms(stage) > 0 for stage in stages)


@given(COSTS, MS, st.integers(1, 64))
def test_what_is_its_own_and_what_is_done_once_is_all_of_it_and_never_less_than_nothing(
    cost, ms, most
):
    one = cost.stage(CONTROLLER, ms, most)
    parts = (one.seconds, one.shared_s, one.waking_s)
    assert min(parts) >= -1e-12
    assert 1e3 * sum(parts) == pytest.approx(ms if cost.alone_ms else 0.0)


@given(MS, MS, MS, st.integers(2, 64))
def test_as_many_as_are_served_together_cost_what_was_measured_together(a, b, c, most):
    together, awake, alone = sorted((a, b, c))
    one = Cost(alone, awake, together).stage(CONTROLLER, alone, most)
    least = awake / most  # all of it done once: no more than that can be shared
    each = one.seconds + one.shared_s / most
    assert 1e3 * each == pytest.approx(max(together, least) if alone else 0.0)
    assert 1e3 * (one.seconds + one.shared_s) == pytest.approx(awake if alone else 0.0)


def test_who_is_served_by_themselves_share_nothing():
    one = Cost(8.0, 5.0, 2.0).stage(CONTROLLER, 8.0, 1)
    assert (one.seconds, one.shared_s) == pytest.approx((5e-3, 0.0))


def test_a_measured_run_is_a_load():
    load = Load.of_run(measured_run())
    assert (load.interval_s, load.devices, load.jitter) == (60.0, 600, 0.1)
    assert load.crowd and load.most == 32
    assert [(way.share, way.alone_ms, way.begin) for way in load.ways] == [
        (0.9, 12.0, 0.25),
        (0.1, 24.0, 0.125),
    ]
    assert load.ways[0].controller == Cost(8.0, 6.0, 3.0)
    assert load.ways[1].machine == Cost(5.0, 1.5, 1.0)
    assert load.joining is not None
    joining = load.joining
    assert (joining.per_s, joining.settling_s, joining.counted_s) == (100.0, 60.0, 90.0)


def test_a_way_that_was_measured_alone_only_costs_the_same_whoever_is_there():
    body = measured_run()
    del body["alone"]["kept"]["together"]
    assert Load.of_run(body).ways[0].controller == Cost.even(8.0)


def test_what_each_took_is_kept():
    body = measured_run()
    body["alone"]["kept"]["took_ms"] = [11.0, 12.0, 13.0]
    assert [way.alone_ms for way in Load.of_run(body).ways[0].each()] == [11.0, 12.0, 13.0]


def test_a_run_in_which_nothing_was_alone_is_no_load():
    with pytest.raises(ValueError, match="bench-scale"):
        Load.of_run(measured_run(alone={}))


def test_in_earnest_machines_have_processors_of_their_own_and_keep_connections():
    body = measured_run(ways={"kept": {"done": 0}, "new": {"done": 99}, "join": {"done": 0}})
    load = Load.of_run(body).in_earnest(2_000, 60.0, 0.2)
    assert load.chores.cores == pytest.approx(0.03 + 0.4)
    assert (load.devices, load.interval_s, load.crowd) == (2_000, 60.0, False)
    assert [way.alone_ms for way in load.ways] == [12.0, 24.0]
    assert sum(way.share for way in load.ways) == pytest.approx(1.0)


def test_without_a_run_it_costs_less_the_more_are_there():
    for one in MEASURED.ways:
        assert one.controller.alone_ms >= one.controller.awake_ms >= one.controller.together_ms
