"""N108: whose frame goes to the child next."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_gateway.inference.jobs import Job
from framegate_gateway.inference.turns import ALONE_S, MAX_SERVED, Turns


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turns(clock):
    return Turns(clock)


def add(turns, *devices):
    future = asyncio.Future(loop=asyncio.new_event_loop())
    for device in devices:
        turns.add(Job({"of": device}, b"", future, device))


def drawn(turns, count, flying=()):
    jobs = [turns.next(flying) for _ in range(count)]
    return [job.device if job is not None else None for job in jobs]


def test_n108_whoever_was_served_longest_ago_is_next(turns):
    add(turns, "flood", "flood", "flood", "flood")
    assert drawn(turns, 2) == ["flood", "flood"]
    add(turns, "modest")
    assert drawn(turns, 3) == ["modest", "flood", "flood"], "not behind the flood's next"


def test_n108_a_camera_has_one_frame_at_the_child_while_others_are_about(turns, clock):
    add(turns, "modest", "flood", "flood")
    assert drawn(turns, 2) == ["modest", "flood"]
    assert turns.next({"flood"}) is None and turns, "it waits, although there is room"
    add(turns, "modest")
    assert drawn(turns, 1, {"flood"}) == ["modest"]
    clock.now += ALONE_S + 0.1
    assert drawn(turns, 1, {"flood"}) == ["flood"], "the others are gone: it has both places"


def test_n108_a_camera_that_is_alone_has_the_whole_pipeline(turns):
    add(turns, "one", "one")
    assert drawn(turns, 3, {"one"}) == ["one", "one", None] and not turns


def test_the_gateways_own_questions_are_no_camera(turns):
    add(turns, "", "", "one", "one")
    assert drawn(turns, 4, {"", "one"}) == ["", "one", "", "one"]


def test_what_is_remembered_has_its_limit(turns):
    for number in range(MAX_SERVED + 50):
        add(turns, f"cam{number}")
        assert drawn(turns, 1) == [f"cam{number}"]
    assert len(turns._served) == MAX_SERVED and len(turns._latest) == 2


@given(st.lists(st.sampled_from("abcd"), max_size=60))
def test_n108_nothing_is_lost_and_nobody_is_served_twice_before_whoever_waits(order):
    turns = Turns()
    add(turns, *order)
    left, served = list(order), []
    while (job := turns.next()) is not None:
        for other in set(left) - {job.device}:
            since = served[::-1].index(other) if other in served else len(served)
            assert job.device not in served[len(served) - since :]
        left.remove(job.device)
        served.append(job.device)
    assert sorted(served) == sorted(order) and not turns
