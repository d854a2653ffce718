"""Faults at random instants, a few of each kind: `make chaos` does thousands."""

import json
import subprocess
import sys

import pytest

from framegate_simulators.chaos import disk
from framegate_simulators.chaos.outcome import Outcome, Tally
from framegate_simulators.chaos.run import Asked, Fault, spread
from framegate_simulators.fixtures.postgres import programs

pytestmark = pytest.mark.slow


def run(tmp_path, *arguments: str):
    done = subprocess.run(
        [sys.executable, "-m", "framegate_simulators.chaos.run", "--build", tmp_path, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    body = json.loads((tmp_path / "chaos.json").read_text())
    assert body["wrong"] == 0
    return {one["fault"]: one for one in body["faults"]}


def test_n85_n106_a_controller_a_gateway_and_a_line_under_faults_lose_and_invent_nothing(tmp_path):
    few = "controller: |gateway: kill|gateway: disk full|adapter: kill"
    faults = run(tmp_path, "--runs", "1", "--shared", "0", "--line", "0", "--only", few)
    named = {"controller: kill -9", "controller: clock -1 h", "controller: damaged page"}
    assert named | {"gateway: kill -9", "adapter: kill -9"} <= set(faults)
    done = [one for one in faults.values() if not one["skipped"]]
    assert all(one["runs"] and one["asked"] >= 0 for one in done)
    assert len(done) == (9 if disk.possible() else 6)


@pytest.mark.plants
def test_n85_n106_nor_under_any_other_fault_of_what_they_keep(tmp_path):
    other = "gateway: clock|gateway: damaged|read-only|adapter: "
    faults = run(tmp_path, "--runs", "1", "--shared", "0", "--line", "0", "--only", other)
    assert {"gateway: damaged page", "adapter: damaged page", "adapter: clock +1 h"} <= set(faults)


@pytest.mark.plants
@pytest.mark.skipif(programs() is None, reason="PostgreSQL 15 or later is not installed")
def test_n85_two_controllers_and_their_database_under_faults_lose_and_invent_nothing(tmp_path):
    faults = run(tmp_path, "--runs", "0", "--shared", "1", "--line", "0")
    assert all(faults[f"database: {what}"]["runs"] for what in ("kill -9", "fails over"))


@pytest.mark.parametrize(
    ("outcome", "problems"),
    [
        (Outcome("killed", 1, 1, 5.0), 0),
        (Outcome("killed", 1, 1, 5.0, ("a PASS without a receipt",)), 1),
        (Outcome("killed", 1, 1, 50.0), 1),
    ],
    ids=["well", "a problem", "too late"],
)
def test_what_is_wrong_with_a_run_is_counted(outcome, problems):
    tally = Tally("a fault", limit_ms=10.0)
    tally.add(outcome, seed=3)
    body = tally.body()
    assert (body["runs"], body["problem_count"]) == (1, problems)
    assert all("seed 3" in problem for problem in body["problems"])


def test_each_fault_is_tried_at_least_once_and_by_its_weight():
    faults = [Fault("often", lambda _: None, 3), Fault("seldom", lambda _: None, 1)]
    faults.append(Fault("once", lambda _: None, 0))
    assert [fault.name for fault in spread(faults, 1)] == ["often", "seldom", "once"]
    names = [fault.name for fault in spread(faults, 43)]
    assert [names.count(name) for name in ("often", "seldom", "once")] == [31, 11, 1]
    assert list(spread(faults, 0)) == []
    assert [fault.name for fault in spread(faults[2:], 3)] == ["once"] * 3
    assert list(spread([], 3)) == []


@pytest.mark.parametrize(
    ("only", "wanted"),
    [("", True), ("kill", True), ("disk|kill", True), ("disk", False), ("disk|clock", False)],
)
def test_faults_are_asked_for_by_parts_of_their_names(only, wanted):
    assert Asked(0, only).wants("gateway: kill -9") is wanted
