"""One controller and several on one database: what each run asks for, and what is compared."""

import pytest

from framegate_host.console import Terminal
from framegate_simulators.fleet.speedup import compared, host_cores, limit_of, plan_of, show


def run(controllers, per_s, **changes):
    plan = plan_of(controllers, 25.0, 8, 1.0).body()
    done = {
        "per_s": per_s,
        "controller_cores": 0.25 * controllers,
        "share_used_up": 0.9,
        "controller_cpu_ms": 10.0,
        "database_cpu_ms": 4.0,
        "machines_cpu_ms": 6.0,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
    }
    body = {
        "plan": plan,
        "attestations": done,
        "turns": {"held": 0.5, "elsewhere": 0.4, "at_disk": 0.1, "waiting": 0.2, "wait_ms": 3.0},
        "enrolments": {"joined": 8},
        "late_devices": 0,
        "restarts": [],
        "errors": {},
    }
    return body | changes


def test_all_that_differs_is_how_many_controllers_there_are():
    one, two = plan_of(1, 25.0, 8, 1.0).body(), plan_of(2, 25.0, 8, 1.0).body()
    differing = {name for name in one if one[name] != two[name]}
    assert differing == {"controllers", "seed"} and one["pressing"] and one["share"] == 25.0


@pytest.mark.parametrize(("one", "two", "ratio"), [(20.0, 36.0, 1.8), (20.0, 10.0, 0.5)])
def test_the_ratio_is_of_attestations_a_second(one, two, ratio):
    assert compared([run(1, one), run(2, two)])["ratio"] == ratio


def test_nothing_is_no_ratio():
    assert compared([run(1, 0.0), run(2, 10.0)])["ratio"] is None


def test_what_the_host_gave_is_all_three_kinds_of_processes():
    assert host_cores(run(2, 50.0)) == pytest.approx(1.0)


def test_what_was_wrong_in_either_run_is_said(capsys):
    failed = run(2, 30.0, errors={"renewals: unavailable": 3})
    result = compared([run(1, 20.0), failed])
    assert result["wrong"] == ["3 times renewals: unavailable"]
    show(result, Terminal(highlight=False))
    said = capsys.readouterr().out
    assert "1.5 times" in said and "unavailable" in said
    assert "wrong: nothing" not in said


@pytest.mark.parametrize(
    ("used_up", "held", "limit"),
    [(0.98, 0.99, "their shares"), (0.7, 0.91, "turn to write"), (0.3, 0.5, "the host")],
)
def test_what_kept_them_from_answering_more(used_up, held, limit):
    one = run(2, 30.0)
    one["attestations"]["share_used_up"], one["turns"]["held"] = used_up, held
    assert limit_of(one) == limit
