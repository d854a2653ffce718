"""Stations serve in the order of coming, one at a time or so many together."""

import math
import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_simulators.fleet.stations import (
    BETWEEN,
    NOWHERE,
    Batched,
    Counted,
    Job,
    Stage,
    Stations,
    as_one,
)


def times(*jobs: Job) -> list[tuple[float, float]]:
    return [(one.at_s, one.then_s) for one in Stations(2).passed(jobs)]


def test_whoever_comes_second_waits_for_the_first():
    work = (Stage(0, 2.0),)
    assert times(Job(0.0, work, 1), Job(1.0, work, 1), Job(9.0, work, 1)) == [
        (0.0, 2.0),
        (1.0, 4.0),
        (9.0, 11.0),
    ]


def test_another_station_is_not_waited_for_and_time_nowhere_is_nobodys():
    assert times(Job(0.0, (Stage(0, 2.0),), 1), Job(1.0, (Stage(1, 2.0),), 1)) == [
        (0.0, 2.0),
        (1.0, 3.0),
    ]
    way = (Stage(NOWHERE, 2.0),)
    assert times(Job(0.0, way, 1), Job(0.5, way, 1)) == [(0.0, 2.0), (0.5, 2.5)]


def test_what_is_done_behind_the_answer_keeps_others_waiting_and_not_who_asked():
    both = (Stage(0, 1.0), Stage(0, 3.0))
    assert times(Job(0.0, both, 1), Job(1.5, both, 1)) == [(0.0, 1.0), (1.5, 5.0)]


def test_between_two_stages_at_one_station_somebody_else_is_served():
    steps = (Stage(0, 1.0), Stage(NOWHERE, 0.5), Stage(0, 1.0))
    assert times(Job(0.0, steps, 3), Job(0.5, (Stage(0, 1.0),), 1)) == [(0.5, 2.0), (0.0, 3.0)]


@pytest.mark.parametrize("job", [Job(0.0, (Stage(0, 1.0),)), Job(0.0, ())])
def test_nobody_is_answered_who_did_not_ask(job):
    assert times(job) == []


def gate(each_s: float, once_s: float, piece_s: float = 99.0, rest_s: float = 0.0) -> Stage:
    """Gate 1, behind which it is worked at station 0."""
    return Stage(1, 0.0, batched=Batched(0, each_s, once_s, piece_s, rest_s))


def test_those_that_wait_at_a_gate_pass_together_once_whoever_was_first_is_done():
    """The first alone in 1 + 2 s; the two that came meanwhile in 2 * 1 + 2."""
    jobs = [Job(at, (gate(1.0, 2.0),), 1) for at in (0.0, 0.5, 1.0)]
    stations = Stations(2, together=2)
    assert [one.then_s for one in stations.passed(jobs)] == [3.0, 7.0, 7.0]
    assert stations.busy_s == [7.0, 0.0], "a gate does nothing itself"


def test_more_than_pass_together_pass_by_and_by():
    jobs = [Job(0.0, (gate(1.0, 2.0),), 1)] * 4
    assert [one.then_s for one in Stations(2, together=2).passed(jobs)] == [3.0, 7.0, 7.0, 10.0]


def test_the_disk_is_waited_for_by_those_behind_the_gate_and_by_nobody_else():
    """Two pass one after the other, 1 s and 2 s of the disk each; meanwhile a third is served."""
    jobs = [Job(at, (gate(1.0, 0.0, rest_s=2.0),), 1) for at in (0.0, 0.5)]
    other = Job(1.0, (Stage(0, 1.5),), 1)
    stations = Stations(2)
    assert [one.then_s for one in stations.passed([*jobs, other])] == [2.5, 3.0, 6.0]


def test_between_two_pieces_of_a_batch_others_are_served():
    jobs = [Job(0.0, (gate(4.0, 0.0, piece_s=1.0),), 1), Job(0.5, (Stage(0, 1.0),), 1)]
    assert times(*jobs) == [(0.5, 2.0), (0.0, 5.0)]
    whole = [Job(0.0, (gate(4.0, 0.0),), 1), Job(0.5, (Stage(0, 1.0),), 1)]
    assert times(*whole) == [(0.0, 4.0), (0.5, 5.0)]


def test_a_batch_has_its_turn_however_many_others_wait():
    """Between each two of its four pieces so many others, and not all two hundred."""
    batch = Job(0.0, (gate(4.0, 0.0, piece_s=1.0),), 1)
    others = [Job(0.5, (Stage(0, 1.0),), 1)] * 200
    (then_s,) = (one.then_s for one in Stations(2).passed([batch, *others]) if one.at_s == 0.0)
    assert then_s == 4 + 3 * BETWEEN


@given(st.integers(1, 9), st.floats(0, 9), st.floats(0, 9), st.floats(0.1, 9), st.floats(0, 9))
def test_a_batch_is_what_each_takes_and_once_what_all_do(count, each_s, once_s, piece_s, rest_s):
    stages = as_one([Batched(0, each_s, once_s, piece_s, rest_s)] * count)
    work = [stage.seconds for stage in stages if stage.station == 0]
    assert sum(work) == pytest.approx(count * each_s + once_s)
    assert all(seconds <= piece_s * (1 + 1e-6) for seconds in work)
    assert sum(s.seconds for s in stages if s.station == NOWHERE) == rest_s


def test_what_is_counted_may_be_known_later():
    work, counted = (Stage(0, 4.0),), Counted(math.inf, math.inf)
    stations = Stations(1, counted=counted)

    def again(_before: Job, then_s: float) -> list[Job]:
        if then_s == 8.0:
            counted.begin_s, counted.end_s = 10.0, 13.0
        return [Job(then_s, work, 1)] if then_s < 16.0 else []

    list(stations.passed([Job(0.0, work, 1)], again))
    assert stations.busy_s == [3.0]


def test_how_busy_a_station_is_counts_from_a_moment_on_and_until_one():
    work = (Stage(0, 4.0),)
    stations = Stations(1, counted=Counted(3.0, 9.0))
    list(stations.passed([Job(at, work, 1) for at in (0.0, 5.0, 6.0, 20.0)]))
    assert stations.busy_s == [1.0 + 4.0]


def test_who_finds_a_station_with_nothing_to_do_wakes_it():
    jobs = [Job(at, (Stage(0, 1.0, 0.5),), 1) for at in (0.0, 1.0, 9.0)]
    assert times(*jobs) == [(0.0, 1.5), (1.0, 2.5), (9.0, 10.5)]


def test_who_was_answered_comes_again_when_they_say():
    """One machine that thinks for 3 s and is answered in 1: every 4 s."""
    work = (Stage(0, 1.0),)
    stations = Stations(1)
    seen = stations.passed([Job(0.0, work, 1)], lambda _, then_s: [Job(then_s + 3.0, work, 1)])
    assert [one.then_s for one in islice(seen, 4)] == [1.0, 5.0, 9.0, 13.0]


def test_machines_that_never_think_keep_a_station_busy():
    """A closed system at its limit: N machines wait for N times the work each."""
    work = (Stage(0, 0.5),)

    def again(_before: Job, then_s: float) -> list[Job]:
        return [Job(then_s, work, 1)] if then_s < 50.0 else []

    stations = Stations(1)
    seen = list(stations.passed([Job(0.0, work, 1) for _ in range(8)], again))
    assert all(one.then_s - one.at_s == 4.0 for one in seen if one.at_s >= 4.0)
    assert stations.busy_s[0] == seen[-1].then_s


@pytest.mark.parametrize("busy", [0.5, 0.8])
def test_one_at_a_time_random_comers_wait_as_long_as_theory_says(busy):
    """M/D/1: busy / (2 (1 - busy)) of the work, in the mean."""
    chance, at_s, jobs = random.Random(7), 0.0, []  # noqa: S311 - no secret
    for _ in range(20_000):
        at_s += chance.expovariate(busy)
        jobs.append(Job(at_s, (Stage(0, 1.0),), 1))
    waited = [one.then_s - one.at_s - 1.0 for one in Stations(1).passed(jobs)]
    assert sum(waited) / len(waited) == pytest.approx(busy / (2 * (1 - busy)), rel=0.1)


SECONDS = st.floats(0, 10, allow_nan=False)
STAGES = st.lists(st.builds(Stage, st.sampled_from([NOWHERE, 0, 1]), SECONDS), min_size=1)
BATCHED = st.builds(Batched, st.just(0), SECONDS, SECONDS, st.floats(0.5, 20), SECONDS)
SHARING = st.lists(
    st.builds(Stage, st.sampled_from([NOWHERE, 0]), SECONDS, SECONDS)
    | st.builds(Stage, st.just(1), st.just(0.0), st.just(0.0), BATCHED),
    min_size=1,
)
TOGETHER = st.integers(1, 4)


@given(st.integers(1, 40), st.integers(1, 9), st.floats(0.1, 5), st.floats(0, 5))
def test_all_who_come_at_once_are_done_when_each_and_as_many_batches_as_it_takes_are(
    count, together, each_s, once_s
):
    """The deterministic limit of bulk service."""
    jobs = [Job(0.0, (gate(each_s, once_s),), 1)] * count
    waiting = count - 1  # the first finds nobody, and passes by itself
    batches = 1 + -(-waiting // together)
    (*_, last) = Stations(2, together).passed(jobs)
    assert last.then_s == pytest.approx(count * each_s + batches * once_s)


@given(st.lists(st.tuples(SECONDS, SHARING), max_size=8), TOGETHER)
def test_nobody_is_answered_before_their_own_work_is_done_whoever_they_share_with(drawn, together):
    jobs = sorted(
        (Job(at, tuple(stages), len(stages)) for at, stages in drawn), key=lambda j: j.at_s
    )
    stations = Stations(2, together)
    answered = list(stations.passed(jobs))
    assert sorted(one.at_s for one in answered) == [job.at_s for job in jobs]
    assert [one.then_s for one in answered] == sorted(one.then_s for one in answered)
    least = {}
    for job in jobs:
        own = sum(sum(part.seconds for part in parts(one)) for one in job.stages)
        least[job.at_s] = min(own, least.get(job.at_s, own))
    assert all(one.then_s - one.at_s >= least[one.at_s] * (1 - 1e-9) - 1e-9 for one in answered)
    work = [part for job in jobs for one in job.stages for part in parts(one)]
    at_most = sum(one.seconds + one.waking_s for one in work if one.station == 0)
    each = [one.batched.each_s for job in jobs for one in job.stages if one.batched]
    at_least = sum(s.seconds for job in jobs for s in job.stages if s.station == 0) + sum(each)
    assert at_least * (1 - 1e-9) - 1e-9 <= stations.busy_s[0] <= at_most * (1 + 1e-9) + 1e-9


def parts(stage: Stage) -> tuple[Stage, ...]:
    return as_one([stage.batched]) if stage.batched else (stage,)


def test_those_who_take_different_things_are_done_when_all_of_it_is():
    those = [Batched(0, 1.0, 2.0, 99.0, 1.0), Batched(0, 3.0, 1.0, 99.0, 4.0)]
    assert as_one(those) == (Stage(0, 1.0 + 3.0 + 2.0), Stage(NOWHERE, 4.0))


@given(st.lists(st.tuples(SECONDS, STAGES), max_size=8))
def test_nobody_is_answered_before_their_work_is_done_and_everybody_is(drawn):
    jobs = sorted(
        (Job(at, tuple(stages), len(stages)) for at, stages in drawn), key=lambda j: j.at_s
    )
    answered = list(Stations(2).passed(jobs))
    assert sorted(one.at_s for one in answered) == [job.at_s for job in jobs]
    for station in (0, 1):
        work = sum(s.seconds for job in jobs for s in job.stages if s.station == station)
        last = max((one.then_s for one in answered), default=0.0)
        assert last >= work * (1 - 1e-9)
