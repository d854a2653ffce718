"""Stations serve in the order of coming, one at a time or so many together."""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_simulators.fleet.stations import NOWHERE, Job, Stage, Stations


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


def test_those_that_wait_are_served_together_once_whoever_was_first_is_done():
    """The first alone in 1 + 2 s; the two that came meanwhile in 2 * 1 + 2."""
    jobs = [Job(at, (Stage(0, 1.0, 2.0),), 1) for at in (0.0, 0.5, 1.0)]
    stations = Stations(1, together=2)
    assert [one.then_s for one in stations.passed(jobs)] == [3.0, 7.0, 7.0]
    assert stations.busy_s == [7.0]


def test_how_busy_a_station_is_counts_from_a_moment_on_and_until_one():
    work = (Stage(0, 4.0),)
    stations = Stations(1, begin_s=3.0, end_s=9.0)
    list(stations.passed([Job(at, work, 1) for at in (0.0, 5.0, 6.0, 20.0)]))
    assert stations.busy_s == [1.0 + 4.0]


def test_who_finds_a_station_with_nothing_to_do_wakes_it():
    jobs = [Job(at, (Stage(0, 1.0, 0.0, 0.5),), 1) for at in (0.0, 1.0, 9.0)]
    assert times(*jobs) == [(0.0, 1.5), (1.0, 2.5), (9.0, 10.5)]


def test_who_was_answered_comes_again_when_they_say():
    """One machine that thinks for 3 s and is answered in 1: every 4 s."""
    work = (Stage(0, 1.0),)
    stations = Stations(1)
    seen = stations.passed([Job(0.0, work, 1)], lambda _, then_s: Job(then_s + 3.0, work, 1))
    assert [one.then_s for one in islice(seen, 4)] == [1.0, 5.0, 9.0, 13.0]


def test_machines_that_never_think_keep_a_station_busy():
    """A closed system at its limit: N machines wait for N times the work each."""
    work = (Stage(0, 0.5),)

    def again(_before: Job, then_s: float) -> Job | None:
        return Job(then_s, work, 1) if then_s < 50.0 else None

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
SHARING = st.lists(
    st.builds(Stage, st.sampled_from([NOWHERE, 0, 1]), SECONDS, SECONDS, SECONDS), min_size=1
)
TOGETHER = st.integers(1, 4)


@given(st.integers(1, 40), st.integers(1, 9), st.floats(0.1, 5), st.floats(0, 5))
def test_all_who_come_at_once_are_done_when_each_and_as_many_batches_as_it_takes_are(
    count, together, each_s, once_s
):
    """The deterministic limit of bulk service."""
    jobs = [Job(0.0, (Stage(0, each_s, once_s),), 1)] * count
    waiting = count - 1  # the first finds nobody, and is served by itself
    batches = 1 + -(-waiting // together)
    (*_, last) = Stations(1, together).passed(jobs)
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
        own = sum(s.seconds + (s.shared_s if s.station != NOWHERE else 0.0) for s in job.stages)
        least[job.at_s] = min(own, least.get(job.at_s, own))
    assert all(one.then_s - one.at_s >= least[one.at_s] * (1 - 1e-9) - 1e-9 for one in answered)
    for station in (0, 1):
        those = [s for job in jobs for s in job.stages if s.station == station]
        own = sum(s.seconds for s in those)
        at_most = own + sum(s.shared_s + s.waking_s for s in those)
        busy_s = stations.busy_s[station]
        assert own * (1 - 1e-9) - 1e-9 <= busy_s <= at_most * (1 + 1e-9) + 1e-9


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
