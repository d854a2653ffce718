"""What is simulated of an attestation is all that was measured of it, alone and together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_simulators.fleet.load import (
    CONTROLLER,
    IN_THE_BATCH,
    MACHINES,
    MEASURED,
    TOGETHER,
    Cost,
    Load,
    Way,
)
from framegate_simulators.fleet.stations import NOWHERE, as_one
from support.measured_run import measured_run

MS = st.just(0.0) | st.floats(0.01, 100)
COSTS = st.tuples(MS, MS).map(lambda two: Cost(max(two), min(two)))


def way(controller_ms, machine_ms, alone_ms, begin) -> Way:
    return Way(1.0, Cost.even(controller_ms), Cost.even(machine_ms), alone_ms, begin)


def opened(stages):
    """With what is done behind a gate for one by itself."""
    return [part for one in stages for part in (as_one([one.batched]) if one.batched else (one,))]


def ms(stages, station) -> float:
    """Of a processor that wakes for each."""
    return 1e3 * sum(one.seconds + one.waking_s for one in stages if one.station == station)


BATCHED = Way(1.0, Cost(8.8, 2.0), Cost(3.0, 1.0), 14.8, 0.24, 40, batched_ms=4.0)


@pytest.mark.parametrize("crowd", [True, False])
@pytest.mark.parametrize(
    "way",
    [
        way(8.8, 3.0, 14.8, 0.24),
        way(12.0, 3.0, 10.0, 0.3),
        way(5.0, 30.0, 20.0, 0.3),
        way(0.0, 0.0, 7.0, 1.0),
        BATCHED,
        Way(1.0, Cost(5.0, 4.0), Cost(4.0, 3.0), 12.0, 0.4, 30, port_ms=4.5),
    ],
)
def test_the_stages_are_all_that_was_measured(way, crowd):
    """Until the answer it takes as long as it took alone, or as the machine worked where its
    process did something beside; the controller's processor does all that it did.
    """
    stages, answered = way.stages(2.5, crowd=crowd)
    until, everything = opened(stages[:answered]), opened(stages)
    took = sum(ms(until, station) for station in (NOWHERE, MACHINES, CONTROLLER))
    assert took == pytest.approx(max(way.alone_ms, way.machine.alone_ms))
    assert ms(everything, CONTROLLER) == pytest.approx(way.controller.alone_ms)
    own = way.machine.alone_ms + way.port_ms
    assert ms(everything, MACHINES) == pytest.approx(own if crowd else 0.0)
    assert all(one.seconds + one.waking_s > 0 for one in everything if one.station != NOWHERE)
    assert sum(one.station == TOGETHER for one in stages) == (way.batched_ms > 0)


@given(COSTS, MS, st.floats(0, 1), st.integers(1, 90), st.floats(1, 300))
def test_what_is_shared_and_woken_for_is_never_more_than_there_is(
    cost, batched_ms, once, visits, alone_ms
):
    one = Way(1.0, cost, Cost.even(1.0), alone_ms, 0.3, visits, min(batched_ms, cost.alone_ms))
    stages, answered = replace(one, once=once).stages(2.5, crowd=True)
    assert 0 < answered <= len(stages)
    assert all(part.seconds >= -1e-12 and part.waking_s >= -1e-12 for part in opened(stages))
    assert ms(opened(stages), CONTROLLER) == pytest.approx(cost.alone_ms, abs=1e-9)


@pytest.mark.parametrize(("once", "costs_ms"), [(0.0, 4.0), (0.5, 2.0), (1.0, 2.0)])
def test_many_cost_what_was_measured_of_many(once, costs_ms):
    """Of a processor that is never at rest, and in a batch that is large; no more of what is woken
    for can be saved than there is.
    """
    stages, _ = replace(BATCHED, once=once).stages(2.5, crowd=True)
    batches = [one.batched for one in stages if one.batched] * 1_000
    beside, together = (
        sum(one.seconds for one in those if one.station == CONTROLLER)
        for those in (stages, as_one(batches))
    )
    assert 1e3 * beside + together == pytest.approx(costs_ms, rel=0.01)


def test_a_measured_run_is_a_load():
    load = Load.of_run(measured_run())
    assert (load.interval_s, load.devices, load.jitter) == (60.0, 600, 0.1)
    assert load.crowd and load.most == 32
    assert [(way.share, way.alone_ms, way.begin) for way in load.ways] == [
        (0.9, 12.0, 0.25),
        (0.1, 24.0, 0.125),
    ]
    assert load.ways[0].controller == Cost(8.0, 3.0)
    assert load.ways[1].machine == Cost(5.0, 1.0)
    assert [way.batched_ms for way in load.ways] == [IN_THE_BATCH * 8.0] * 2
    assert load.joining is not None
    joining = load.joining
    assert (joining.at_once, joining.settling_s, joining.counted_s) == (48, 60.0, 90.0)


def test_who_costs_more_awake_than_alone_was_warm_when_alone():
    body = measured_run()
    body["alone"]["kept"]["controller_ms"] = 5.0
    assert Load.of_run(body).ways[0].controller == Cost(6.0, 3.0)


def test_what_the_join_ports_process_does_is_not_the_controllers():
    body = measured_run()
    join = {"controller_ms": 9.3, "machine_ms": 4.0, "port_ms": 4.5, "p50_ms": 12.8, "turns": 40}
    body["alone"]["join"] |= join
    joining = Load.of_run(body).joining
    assert joining is not None
    way = joining.way
    assert way.controller == Cost(pytest.approx(4.8), 9.3) and way.batched_ms == 0.0
    # many save as much as who opens a connection: 1 of 5 ms is left
    assert (way.machine, way.port_ms) == (Cost(4.0, pytest.approx(0.8)), pytest.approx(0.9))


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
        assert one.controller.alone_ms >= one.controller.together_ms
