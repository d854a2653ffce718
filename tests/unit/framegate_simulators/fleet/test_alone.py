"""What an attestation takes alone: what machines are asked for, and what counts as its own."""

import os

import pytest

from framegate_simulators.fleet import alone
from framegate_simulators.fleet.alone import measured_alone
from framegate_simulators.fleet.controllers import Usage, slices_of


class Controllers:
    """That use a tenth of a processor by the clock, and `each_s` for everybody who asks."""

    def __init__(self, clock, each_s: float) -> None:
        self.clock, self.each_s, self.asked = clock, each_s, 0
        self.visits = 0

    def used(self) -> Usage:
        return Usage(0.1 * self.clock.now_s + self.each_s * self.asked, 0)

    def database_used(self) -> Usage:
        return Usage(0.001 * self.asked, 0)

    def slices(self) -> int:
        return int(1_000 * self.clock.now_s) + self.visits


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(alone, "time", clock)
    return clock


def test_what_is_done_by_the_clock_is_no_attestations(clock):
    controllers, ways = Controllers(clock, 0.012), []

    def ask(body):
        ways.append(body["how"])
        controllers.asked += 4
        clock.now_s += 0.1
        controllers.visits += 4 * 30
        return {
            "took_ms": [20.0, 22.0, 24.0, 99.0],
            "begin_ms": [5.0, 5.0, 6.0, 7.0],
            "cpu_s": 0.02,
        }

    measured = measured_alone(ask, controllers, lambda _: None)
    assert ways == ["join", "new", "kept"] and set(measured) == {"idle", *ways}
    assert measured["idle"] == {"cores": 0.1, "piece_ms": 0.1}
    assert measured["kept"] == {
        "turns": 4,
        "p50_ms": 23.0,
        "begin_ms": 5.5,
        "controller_ms": pytest.approx(12.0),
        "database_ms": pytest.approx(1.0),
        "visits": 30,
        "machine_ms": pytest.approx(5.0),
        "took_ms": [20.0, 22.0, 24.0, 99.0],
    }


def test_a_way_that_nobody_went_takes_nothing(clock):
    def ask(body):
        return {"took_ms": [], "begin_ms": [], "cpu_s": 0.0}

    measured = measured_alone(ask, Controllers(clock, 0.0), lambda _: None)
    assert measured["new"] == dict.fromkeys(measured["new"], 0) | {"took_ms": []}


def test_slices_of_a_process_that_is_gone_are_none():
    assert slices_of(2**22 + 1) == 0


def test_this_process_was_given_a_processor():
    assert slices_of(os.getpid()) > 0
