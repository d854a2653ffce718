"""The queueing simulation against what queueing theory says, its stages, and its plan."""

from dataclasses import replace

import pytest

from framegate_simulators.fleet.queueing import (
    CONTROLLER,
    MACHINES,
    MEASURED,
    PLANS,
    TURN,
    Chores,
    Load,
    Way,
    beside,
    planned,
    simulate,
)

SIMPLE = Way(share=1.0, controller_ms=10.0, machine_ms=0.0, alone_ms=10.0, begin=1.0, visits=1)
ONE = Load(devices=2_000, interval_s=60.0, ways=(SIMPLE,), write_ms=0.0)


def of(**changes) -> tuple[Way, ...]:
    return (replace(SIMPLE, **changes),)


def test_who_finds_nobody_before_them_waits_for_their_own_work_alone():
    alone = simulate(replace(ONE, devices=20))
    assert alone.p50_ms == pytest.approx(10.0, rel=0.01) and alone.late == 0


@pytest.mark.parametrize("busy", [0.3, 0.5, 0.7])
def test_waiting_is_that_of_one_server_with_work_of_one_length(busy):
    """M/D/1: the mean wait is busy / (2 (1 - busy)) of the work; arrivals of many machines, each at
    its own time, are nearly at random.
    """
    work = 1e3 * busy * ONE.interval_s / ONE.devices
    load = replace(ONE, ways=of(controller_ms=work, alone_ms=work))
    assert load.busy == pytest.approx(busy)
    seen = simulate(load)
    mean = work * (1 + busy / (2 * (1 - busy)))
    assert work <= seen.p50_ms <= 1.15 * mean
    assert mean < seen.p99_ms < work * (1 + 6 / (2 * (1 - busy)))


def test_who_comes_to_the_processor_again_and_again_waits_as_often():
    """A processor that is shared out finely: who came later is served before who came first is
    done, so half of them wait longer than by turns.
    """
    load = replace(ONE, ways=of(controller_ms=18.0, alone_ms=18.0))
    often = replace(ONE, ways=of(controller_ms=18.0, alone_ms=18.0, visits=40))
    assert often.busy == pytest.approx(load.busy)
    assert simulate(often).p50_ms > simulate(load).p50_ms


def test_the_stores_turn_is_one():
    wide = replace(ONE, ways=of(controller_ms=1.0, alone_ms=20.0), write_ms=18.0)
    assert wide.busy == pytest.approx(0.6)
    assert simulate(wide).p99_ms > 2 * 20.0
    assert simulate(replace(wide, write_ms=1.0)).p99_ms < 25.0


def test_machines_of_one_process_wait_for_each_other_and_others_do_not():
    load = replace(ONE, ways=of(controller_ms=1.0, machine_ms=21.0, alone_ms=22.0), crowd=True)
    assert load.busy == pytest.approx(0.7)
    apart = replace(load, crowd=False)
    assert apart.busy < 0.05
    assert simulate(load).p99_ms > 2 * simulate(apart).p99_ms


def test_what_is_done_by_the_clock_is_waited_for():
    chores = Chores(cores=0.5, piece_ms=50.0)
    assert simulate(replace(ONE, devices=200, chores=chores)).p99_ms > 50.0
    assert replace(ONE, chores=chores).busy == pytest.approx(ONE.busy + 0.5)


@pytest.mark.parametrize(
    "load",
    [
        replace(ONE, devices=7_000),
        replace(ONE, write_ms=31.0),
        replace(ONE, chores=Chores(0.7)),
        replace(ONE, ways=of(machine_ms=31.0), crowd=True),
    ],
)
def test_who_is_asked_for_more_than_there_is_is_told_so(load):
    with pytest.raises(ValueError, match="nobody keeps up"):
        simulate(load)


@pytest.mark.parametrize("crowd", [True, False])
@pytest.mark.parametrize(
    "way",
    [
        Way(1.0, 8.8, 3.0, 14.8, 0.24),
        Way(1.0, 12.0, 3.0, 10.0, 0.3),
        Way(1.0, 5.0, 30.0, 20.0, 0.3),
        Way(1.0, 0.0, 0.0, 7.0, 1.0),
    ],
)
def test_the_stages_are_all_that_was_measured(way, crowd):
    """Until the answer it takes as long as it took alone, or as the machine worked where its
    process did something beside; the controller's processor does all that it did.
    """
    stages = way.stages(2.5, crowd=crowd)
    until = 1e3 * sum(stage.seconds for stage in stages[:-1])
    assert until == pytest.approx(max(way.alone_ms, way.machine_ms))
    of_controller = sum(s.seconds for s in stages if s.station == CONTROLLER)
    assert 1e3 * of_controller == pytest.approx(way.controller_ms)
    assert all(stage.seconds >= 0 for stage in stages)
    assert any(s.station == MACHINES for s in stages) == (crowd and way.machine_ms > 0)
    assert sum(s.seconds for s in stages if s.station == TURN) <= 2.5e-3


def run(**changes):
    way = {"turns": 40, "database_ms": 0.0, "begin_ms": 3.0, "visits": 30}
    body = {
        "plan": {"devices": 600},
        "attestations": {"per_s": 10.0, "p50_ms": 13.0, "p99_ms": 40.0},
        "ways": {"kept": {"done": 90}, "new": {"done": 10}, "join": {"done": 0}},
        "alone": {
            "idle": {"cores": 0.03, "piece_ms": 0.1},
            "kept": way | {"p50_ms": 12.0, "controller_ms": 8.0, "machine_ms": 2.0},
            "new": way | {"p50_ms": 24.0, "controller_ms": 13.0, "machine_ms": 5.0},
            "join": way | {"p50_ms": 0.0, "controller_ms": 0.0, "machine_ms": 0.0},
        },
    }
    return body | changes


def test_a_measured_run_is_a_load():
    load = Load.of_run(run())
    assert (load.interval_s, load.devices, load.crowd) == (60.0, 600, True)
    assert [(way.share, way.alone_ms, way.begin) for way in load.ways] == [
        (0.9, 12.0, 0.25),
        (0.1, 24.0, 0.125),
    ]
    assert load.busy == pytest.approx(0.03 + 10 * (0.9 * 8 + 0.1 * 13) / 1e3)


def test_what_waited_for_a_disk_when_it_was_measured_does_so_as_often_in_the_tail():
    rare = of(took_ms=(10.0,) * 40 + (200.0,))
    load = replace(ONE, devices=200, ways=rare)
    seen, even = simulate(load), simulate(replace(load, ways=of()))
    assert seen.p50_ms == pytest.approx(even.p50_ms, rel=0.05)
    assert even.p99_ms < 30.0 and seen.p99_ms == pytest.approx(200.0, rel=0.1)
    body = run()
    body["alone"]["kept"]["took_ms"] = [11.0, 12.0, 13.0]
    assert Load.of_run(body).ways[0].took_ms == (11.0, 12.0, 13.0)


def test_a_run_in_which_nothing_was_alone_is_no_load():
    with pytest.raises(ValueError, match="bench-scale"):
        Load.of_run(run(alone={}))


def test_in_earnest_machines_have_processors_of_their_own_and_keep_connections():
    load = Load.of_run(run()).in_earnest(2_000, 60.0, 0.2)
    assert load.chores.cores == pytest.approx(0.03 + 0.4)
    assert (load.devices, load.interval_s, load.crowd) == (2_000, 60.0, False)
    assert [way.alone_ms for way in load.ways] == [12.0, 24.0]
    assert sum(way.share for way in load.ways) == pytest.approx(1.0)


def test_both_tables_have_a_row_for_each_size():
    assert beside([run(), run()], 2.5).row_count == 2
    grows = run(attestations={"per_s": 400.0, "p50_ms": 9e3, "p99_ms": 9e4})
    assert "grows" in list(beside([grows], 2.5).columns[3].cells)
    assert planned(MEASURED, 0.7).row_count == len(PLANS)
    assert "grows" in list(planned(MEASURED, 3.0).columns[4].cells)
