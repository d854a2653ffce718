"""The queueing simulation against what queueing theory says, and its tables."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate_simulators.fleet.load import MEASURED, Chores, Cost, Joining, Load, Way
from framegate_simulators.fleet.queueing import (
    PLANS,
    beside,
    beside_pressed,
    like_a_site,
    planned,
    pressed,
    sharing,
    simulate,
)
from support.measured_run import measured_run

SIMPLE = Way(1.0, Cost.even(10.0), Cost.even(0.0), alone_ms=10.0, begin=1.0, visits=1)
ONE = Load(devices=2_000, interval_s=60.0, ways=(SIMPLE,), write_ms=0.0)


def of(ms: float, **changes) -> tuple[Way, ...]:
    return (replace(SIMPLE, **({"controller": Cost.even(ms), "alone_ms": ms} | changes)),)


def test_who_finds_nobody_before_them_waits_for_their_own_work_alone():
    alone = simulate(replace(ONE, devices=20))
    assert alone.p50_ms == pytest.approx(10.0, rel=0.01) and alone.late == 0


@pytest.mark.parametrize("busy", [0.3, 0.5, 0.7])
def test_waiting_is_that_of_one_server_with_work_of_one_length(busy):
    """M/D/1: the mean wait is busy / (2 (1 - busy)) of the work; arrivals of many machines, each at
    its own time, are nearly at random.
    """
    work = 1e3 * busy * ONE.interval_s / ONE.devices
    seen = simulate(replace(ONE, ways=of(work)))
    mean = work * (1 + busy / (2 * (1 - busy)))
    assert seen.cores == pytest.approx(busy, rel=0.03)
    assert work <= seen.p50_ms <= 1.15 * mean
    assert mean < seen.p99_ms < work * (1 + 6 / (2 * (1 - busy)))


def test_who_comes_to_the_processor_again_and_again_waits_as_often():
    """A processor that is shared out finely: who came later is served before who came first is
    done, so half of them wait longer than by turns.
    """
    load = replace(ONE, ways=of(18.0))
    often = replace(ONE, ways=of(18.0, visits=40))
    assert simulate(often).p50_ms > simulate(load).p50_ms


def test_one_batch_is_at_the_disk_at_a_time():
    """Of those who are answered one by one each waits for the disk of the one before."""
    wide = replace(ONE, ways=of(1.0, alone_ms=20.0, batched_ms=1.0), write_ms=18.0)
    assert simulate(wide).p99_ms > 2 * 20.0
    assert simulate(replace(wide, write_ms=1.0)).p99_ms < 25.0


def test_those_that_are_answered_together_wait_for_the_disk_together():
    wide = replace(ONE, ways=of(1.0, alone_ms=20.0, batched_ms=1.0), write_ms=18.0)
    crowded = replace(wide, devices=6_000)
    assert simulate(crowded).per_s < 60.0
    assert simulate(replace(crowded, most=32)).per_s == pytest.approx(100.0, rel=0.03)


def test_machines_of_one_process_wait_for_each_other_and_others_do_not():
    load = replace(ONE, ways=of(1.0, machine=Cost.even(21.0), alone_ms=22.0), crowd=True)
    apart = replace(load, crowd=False)
    assert simulate(load).p99_ms > 2 * simulate(apart).p99_ms


def test_what_is_done_by_the_clock_is_waited_for():
    chores = Chores(cores=0.5, piece_ms=50.0)
    seen = simulate(replace(ONE, devices=200, chores=chores))
    assert seen.p99_ms > 50.0
    assert seen.cores == pytest.approx(0.5 + 10.0 * 200 / 60e3, rel=0.1)


def test_where_the_clock_takes_it_all_nobody_is_answered():
    with pytest.raises(ValueError, match="nobody is answered"):
        simulate(replace(ONE, chores=Chores(1.0)))


@pytest.mark.parametrize("devices", [9_000, 12_000])
def test_more_than_there_is_makes_everybody_come_less_often(devices):
    """A closed system whose processor is never idle: it answers one over the work a second, and
    each waits for as many answers as there are machines, less the interval.
    """
    seen = simulate(replace(ONE, devices=devices))
    assert seen.per_s == pytest.approx(100.0, rel=0.01)
    assert seen.cores == pytest.approx(1.0, rel=0.01)
    assert seen.p50_ms == pytest.approx(1e3 * (devices / 100.0 - 60.0), rel=0.05)
    assert (seen.late > 0) == (devices >= 12_000)


def shared(alone_ms: float, together_ms: float, **changes) -> Way:
    """All of it in the batch, and what many save done once."""
    return replace(
        SIMPLE,
        controller=Cost(alone_ms, together_ms),
        alone_ms=alone_ms,
        batched_ms=alone_ms,
        once=1.0,
        **changes,
    )


@pytest.mark.parametrize("most", [1, 4, 16])
def test_who_are_always_enough_are_answered_as_many_at_a_time_as_go_together(most):
    """The limit of bulk service: as many as go together in the time that they take together."""
    each = 2.5 + 7.5 / most
    seen = pressed(replace(ONE, most=most), shared(10.0, 2.5, visits=5), 3 * most)
    assert seen.per_s == pytest.approx(1e3 / each, rel=0.03)
    assert seen.p50_ms == pytest.approx(3 * most * each, rel=0.1)


def test_one_that_presses_has_the_controller_for_itself():
    way = replace(SIMPLE, controller=Cost(10.0, 2.0), machine=Cost.even(6.0), alone_ms=16.0)
    seen = pressed(replace(ONE, most=32), way, 1)
    assert seen.per_s == pytest.approx(1e3 / 16.0, rel=0.02)
    assert seen.each_ms == pytest.approx(10.0, rel=0.02)


def test_fewer_than_go_together_cost_more_each_and_less_than_one():
    way, load = shared(10.0, 2.0, visits=5), replace(ONE, most=32)
    each = [1e3 / pressed(load, way, at_once).per_s for at_once in (1, 4, 16, 64)]
    assert each == sorted(each, reverse=True)
    assert each[0] == pytest.approx(10.0, rel=0.02) and each[-1] == pytest.approx(2.25, rel=0.03)


def test_a_processor_that_is_never_at_rest_is_woken_for_nobody():
    """Not in a batch, many save what waking takes."""
    way, load = replace(SIMPLE, controller=Cost(10.0, 4.0), visits=5), replace(ONE, most=32)
    assert pressed(load, way, 1).each_ms == pytest.approx(10.0, rel=0.02)
    assert pressed(load, way, 8).each_ms == pytest.approx(4.0, rel=0.05)


def test_together_a_controller_bears_what_one_by_one_it_does_not():
    load = replace(ONE, devices=9_000, ways=(shared(10.0, 4.0, visits=5),))
    one_by_one, together = simulate(load), simulate(replace(load, most=32))
    assert one_by_one.p50_ms > 20_000
    assert together.per_s == pytest.approx(150.0, rel=0.02) and together.p99_ms < 1_000


LOADS = st.builds(
    Load,
    devices=st.integers(1, 30),
    interval_s=st.floats(0.5, 5.0),
    ways=st.builds(
        Way,
        share=st.just(1.0),
        controller=st.builds(Cost, st.floats(100, 200), st.floats(0, 200)),
        machine=st.builds(Cost, st.floats(0, 50), st.floats(0, 50)),
        alone_ms=st.floats(1, 300),
        begin=st.floats(0, 1),
        visits=st.integers(1, 6),
        batched_ms=st.floats(0, 100),
        once=st.floats(0, 1),
    ).map(lambda way: (way,)),
    chores=st.just(Chores()),
    write_ms=st.floats(0, 50),
    most=st.sampled_from([1, 3, 32]),
    crowd=st.booleans(),
)


@settings(max_examples=25, deadline=None)
@given(LOADS)
def test_nobody_is_faster_than_its_work_and_no_more_come_than_there_are(load):
    (way,) = load.ways
    seen = simulate(load)
    stages, answered = way.stages(load.write_ms, crowd=load.crowd)
    own_ms = 1e3 * sum(stage.seconds for stage in stages[:answered])
    assert own_ms * (1 - 1e-9) - 1e-6 <= seen.p50_ms <= seen.p99_ms
    assert 0 <= seen.cores <= 1 + 1e-9
    # each comes again an interval after it was answered, and a fifth sooner at most
    windows = 4 * load.interval_s / ((1 - load.jitter) * load.interval_s + own_ms / 1e3) + 1
    assert seen.per_s * 4 * load.interval_s <= load.devices * windows + 1e-6


def joining(load: Load, at_once: int, settling_s: float) -> Load:
    way = replace(SIMPLE, controller=Cost.even(15.0), alone_ms=15.0)
    return replace(load, joining=Joining(way, at_once, settling_s, 60.0))


def test_machines_that_join_attest_from_then_on_and_joining_is_not_counted():
    load = replace(ONE, devices=600)
    there, joined = simulate(load), simulate(joining(load, 24, 120.0))
    assert joined.per_s == pytest.approx(there.per_s, rel=0.1)
    assert joined.cores == pytest.approx(there.cores, rel=0.1)
    assert joined.p50_ms == pytest.approx(10.0, rel=0.1) and joined.late == 0
    assert there.joined_per_s == 0.0


def test_they_join_as_fast_as_is_done_for_them_and_as_many_at_once():
    """24 at a time, each followed by the next: one over the work, and less where those who joined
    attest meanwhile; one alone is no slower where nothing but the work takes time.
    """
    load = replace(ONE, devices=300, interval_s=3_600.0)
    assert simulate(joining(load, 24, 0.0)).joined_per_s == pytest.approx(1e3 / 15.0, rel=0.02)
    assert simulate(joining(load, 1, 0.0)).joined_per_s == pytest.approx(1e3 / 15.0, rel=0.02)
    busier = replace(load, interval_s=6.0)
    assert simulate(joining(busier, 24, 0.0)).joined_per_s < 55.0


def test_who_waited_while_others_joined_comes_again_in_a_wave_and_that_dies_down():
    """While they join there is more to do than can be done; afterwards there is less."""
    load = replace(ONE, devices=5_500)
    waves = [simulate(joining(load, 24, settling_s)).p99_ms for settling_s in (0.0, 60.0, 600.0)]
    assert waves[0] > 1_000 > waves[2] and waves[0] > waves[1]


@pytest.mark.parametrize("once", [0.2, 0.6, 1.0])
def test_how_much_a_batch_shares_is_found_from_what_a_few_cost(once):
    """A run whose figures are those of a load is read as that load."""
    body = measured_run()
    load = Load.of_run(body, 2.5)
    true = replace(load.ways[0], once=once)
    (one, some, many), costs = body["alone"]["kept"]["together"], "controller_ms"
    few = [some | {"at_once": n, costs: pressed(load, true, n).each_ms} for n in (2, 4, 8, 16)]
    body["alone"]["kept"]["together"] = [one, *few, many]
    found = sharing(body, 2.5).ways[0]
    for at_once in (4, 16):
        seen, was = (pressed(load, way, at_once).each_ms for way in (found, true))
        assert seen == pytest.approx(was, rel=0.1)


def test_a_way_that_nobody_went_together_shares_as_before():
    body = measured_run()
    del body["alone"]["kept"]["together"]
    assert sharing(body, 2.5).ways[0] == Load.of_run(body).ways[0]


def test_what_waited_for_a_disk_when_it_was_measured_does_so_as_often_in_the_tail():
    load = replace(ONE, devices=200, ways=of(10.0, took_ms=(10.0,) * 40 + (200.0,)))
    seen, even = simulate(load), simulate(replace(load, ways=of(10.0)))
    assert seen.p50_ms == pytest.approx(even.p50_ms, rel=0.05)
    assert even.p99_ms < 30.0 and seen.p99_ms == pytest.approx(200.0, rel=0.1)


def test_each_table_has_rows_for_each_size():
    run = measured_run()
    load = sharing(run, 2.5)
    assert beside([run, run], [load, load]).row_count == 4
    table = beside_pressed(run, load)
    assert list(table.columns[0].cells) == ["1", "", "16", "", "64", ""]
    ways = tuple(replace(way, visits=4) for way in MEASURED.ways)
    assert planned(replace(MEASURED, ways=ways, chores=Chores(0.05, 10.0)), 0.18).row_count == len(
        PLANS
    )


def test_the_plan_rests_on_the_run_that_is_most_like_its_fleets():
    runs = [measured_run(plan={"devices": devices}) for devices in (100, 1_000, 10_000)]
    assert like_a_site(runs) is runs[1] and like_a_site(runs[:1]) is runs[0]


def test_a_plan_in_which_watches_take_it_all_says_so():
    assert "nobody is answered" in list(planned(MEASURED, 3.0).columns[4].cells)
