"""Stations do one thing at a time, in the order of coming."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_simulators.fleet.stations import NOWHERE, Job, Stage, passed


def times(*jobs: Job) -> list[tuple[float, float]]:
    return [(one.at_s, one.then_s) for one in passed(jobs, 2)]


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


SECONDS = st.floats(0, 10, allow_nan=False)
STAGES = st.lists(st.builds(Stage, st.sampled_from([NOWHERE, 0, 1]), SECONDS), min_size=1)


@given(st.lists(st.tuples(SECONDS, STAGES), max_size=8))
def test_nobody_is_answered_before_their_work_is_done_and_everybody_is(drawn):
    jobs = sorted(
        (Job(at, tuple(stages), len(stages)) for at, stages in drawn), key=lambda j: j.at_s
    )
    answered = list(passed(jobs, 2))
    assert sorted(one.at_s for one in answered) == [job.at_s for job in jobs]
    for station in (0, 1):
        work = sum(s.seconds for job in jobs for s in job.stages if s.station == station)
        last = max((one.then_s for one in answered), default=0.0)
        assert last >= work * (1 - 1e-9)
