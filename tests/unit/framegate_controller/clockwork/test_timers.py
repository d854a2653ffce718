"""Timers by name, in a thread of their own."""

import itertools
import threading
from types import SimpleNamespace

import pytest

from framegate_controller.clockwork import timers
from framegate_controller.clockwork.timers import AT_ONCE, ThreadTimers

WAIT_S = 30
LONG_S = 3600.0


class Heard:
    """What was fired, in its order."""

    def __init__(self) -> None:
        self.fired, self.there = [], threading.Semaphore(0)

    def __call__(self, names) -> None:
        self.fired.append(tuple(names))
        self.there.release()

    def wait(self) -> tuple[str, ...]:
        assert self.there.acquire(timeout=WAIT_S)
        return self.fired[-1]


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def armed(heard):
    made = ThreadTimers(heard, "timers of a test")
    yield made
    made.stop()
    assert made.ended(WAIT_S)


def test_a_name_fires_once(armed, heard):
    armed.arm("a", 0.0)
    assert heard.wait() == ("a",) and not armed.armed("a")
    armed.arm("b", 0.0)
    assert heard.wait() == ("b",)
    assert heard.fired == [("a",), ("b",)]


def test_one_that_is_armed_anew_does_not_fire_when_it_was_due_before(armed, heard, monkeypatch):
    clock = itertools.chain([0.0, 1.0, 6.0], itertools.repeat(6.0))
    # the module's clock alone: every other thread reads time's
    monkeypatch.setattr(timers, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    armed._thread = threading.current_thread()  # which is alive: the test takes what is due
    armed.arm("a", 5.0)
    armed.arm("a", 10.0)
    assert armed._taken(6.0) == [] and armed.armed("a")
    assert armed._taken(11.0) == ["a"] and not armed.armed("a")
    armed._thread = threading.Thread()


def test_one_that_is_to_fire_earlier_does_and_not_again(armed, heard):
    armed.arm("a", LONG_S)
    armed.arm("a", 0.0)
    assert heard.wait() == ("a",)
    assert armed._taken(float("inf")) == []


def test_a_name_that_is_armed_often_stands_in_the_heap_once(armed):
    for second in range(1000):
        armed.arm("a", LONG_S + second)
    assert len(armed._heap) == 1


def test_names_that_are_due_together_are_fired_together_and_so_many_at_most(heard):
    made = ThreadTimers(heard, "timers of a test")
    with made._changed:
        for number in range(AT_ONCE + 1):
            made._due[f"{number:03}"] = 0.0
            made._heap.append((0.0, f"{number:03}"))
    made.arm("later", LONG_S)
    heard.wait()
    heard.wait()
    assert [len(names) for names in heard.fired] == [AT_ONCE, 1]
    made.stop()
    assert made.ended(WAIT_S)


def test_nothing_fires_after_the_end_and_nothing_is_armed(heard):
    made = ThreadTimers(heard, "timers of a test")
    made.arm("a", LONG_S)
    made.stop()
    made.arm("b", 0.0)
    assert made.ended(WAIT_S) and not made.armed("a") and not made.armed("b")
    assert heard.fired == []


def test_the_end_says_when_something_is_under_way():
    begun, go_on = threading.Event(), threading.Event()

    def fire(_names):
        begun.set()
        go_on.wait(WAIT_S)

    made = ThreadTimers(fire, "timers of a test")
    made.arm("a", 0.0)
    assert begun.wait(WAIT_S)
    made.stop()
    assert not made.ended(0.0)
    go_on.set()
    assert made.ended(WAIT_S)
