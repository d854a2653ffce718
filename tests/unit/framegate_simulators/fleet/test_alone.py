"""What an attestation takes alone: what machines are asked for, and what counts as its own."""

import os

import pytest

from framegate_controller.rpc.fleet import MOST_TOGETHER
from framegate_simulators.fleet import alone
from framegate_simulators.fleet.alone import measured_alone
from framegate_simulators.fleet.controllers import Usage, slices_of


class Controllers:
    """That use a tenth of a processor by the clock, and `each_s` for everybody who asks."""

    def __init__(self, clock, each_s: float) -> None:
        self.clock, self.each_s, self.asked = clock, each_s, 0
        self.visits = 0

    def used(self) -> Usage:
        return Usage(0.1 * self.clock.now_s + self.each_s * self.asked, 0, 0.002 * self.asked)

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
    controllers, asked = Controllers(clock, 0.012), []

    def ask(body):
        asked.append((body["how"], body.get("at_once")))
        controllers.asked += 4
        clock.now_s += 0.1
        controllers.visits += 4 * 30
        return {
            "took_ms": [20.0, 22.0, 24.0, 99.0],
            "begin_ms": [5.0, 5.0, 6.0, 7.0],
            "cpu_s": 0.02,
        }

    measured = measured_alone(ask, controllers, lambda _: None)
    assert asked[:3] == [("join", None), ("new", None), ("kept", None)]
    assert asked[3:] == [(how, at_once) for how in ("kept", "new") for at_once in alone.AT_ONCE]
    assert set(measured) == {"idle", "join", "new", "kept"}
    assert measured["idle"] == {"cores": 0.1, "piece_ms": 0.1}
    costs = {
        "turns": 4,
        "p50_ms": 23.0,
        "controller_ms": pytest.approx(12.0),
        "port_ms": pytest.approx(2.0),
        "database_ms": pytest.approx(1.0),
        "visits": 30,
        "machine_ms": pytest.approx(5.0),
    }
    took = {"begin_ms": 5.5, "took_ms": [20.0, 22.0, 24.0, 99.0]}
    assert measured["join"] == costs | took
    rows = [costs | {"at_once": at_once, "per_s": 40.0} for at_once in alone.AT_ONCE]
    assert measured["kept"] == measured["new"] == costs | took | {"together": rows}


def test_a_way_that_nobody_went_takes_nothing(clock):
    def ask(body):
        return {"took_ms": [], "begin_ms": [], "cpu_s": 0.0}

    measured = measured_alone(ask, Controllers(clock, 0.0), lambda _: None)
    rows = measured["new"].pop("together")
    assert measured["new"] == dict.fromkeys(measured["new"], 0) | {"took_ms": []}
    assert all(not any(row.values()) for row in ({**row, "at_once": 0} for row in rows))


def test_as_many_as_are_answered_together_are_there_at_the_most():
    assert min(alone.AT_ONCE) == 1 and max(alone.AT_ONCE) >= 2 * MOST_TOGETHER


def test_slices_of_a_process_that_is_gone_are_none():
    assert slices_of(2**22 + 1) == 0


def test_this_process_was_given_a_processor():
    assert slices_of(os.getpid()) > 0
