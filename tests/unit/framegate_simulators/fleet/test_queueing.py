"""The queueing simulation against what queueing theory says, and its plan."""

from dataclasses import replace

import pytest

from framegate_simulators.fleet.queueing import Load, of_run, simulate

ONE = Load(devices=2_000, interval_s=60.0, cpu_ms=10.0, write_ms=0.0, cores=1)


def test_who_finds_nobody_before_them_waits_for_their_own_work_alone():
    alone = simulate(replace(ONE, devices=20))
    assert alone.p50_ms == pytest.approx(10.0, rel=0.01) and alone.late == 0


@pytest.mark.parametrize("busy", [0.3, 0.5, 0.7])
def test_waiting_is_that_of_one_server_with_work_of_one_length(busy):
    """M/D/1: the mean wait is busy / (2 (1 - busy)) of the work; arrivals of many machines, each at
    its own time, are nearly at random.
    """
    load = replace(ONE, cpu_ms=1e3 * busy * ONE.interval_s / ONE.devices)
    assert load.busy == pytest.approx(busy)
    seen, work = simulate(load), load.cpu_ms
    mean = work * (1 + busy / (2 * (1 - busy)))
    assert work <= seen.p50_ms <= 1.15 * mean
    assert mean < seen.p99_ms < work * (1 + 6 / (2 * (1 - busy)))


def test_the_stores_turn_is_one_however_many_processors_there_are():
    wide = replace(ONE, cpu_ms=20.0, write_ms=18.0, cores=64)
    assert wide.busy < 0.05 and wide.writing == pytest.approx(0.6)
    assert simulate(wide).p99_ms > 2 * 20.0
    assert simulate(replace(wide, write_ms=1.0)).p99_ms < 25.0


@pytest.mark.parametrize("load", [replace(ONE, devices=7_000), replace(ONE, write_ms=31.0)])
def test_who_is_asked_for_more_than_there_is_is_told_so(load):
    with pytest.raises(ValueError, match="nobody keeps up"):
        simulate(load)


def test_a_measured_run_is_a_load():
    run = {"plan": {"devices": 600}, "attestations": {"per_s": 10.0, "controller_cpu_ms": 12.0}}
    load = of_run(run, cores=1, write_ms=2.5)
    assert (load.interval_s, load.cpu_ms, load.busy) == (60.0, 12.0, pytest.approx(0.12))
