"""What a person reads of a campaign."""

from contextlib import nullcontext

import pytest

from framegate_simulators.attack.controls import CONTROLS, control
from framegate_simulators.attack.report import WIDTH, failed, summary, table, told
from framegate_simulators.attack.target import ATTEMPTS

ROW = {
    "id": "N128",
    "attempt": "a PASS from before its part's trigger, and a number that comes again " * 3,
    "observed": "UNINSPECTED; " * 40,
    "refused": True,
    "control": "part",
    "served": 2,
    "seconds": 12.34,
}
CONTROL = {"id": "control", "attempt": "a", "observed": "served", "refused": True, "seconds": 1.0}
UNTRIED = {"id": "N99", "attempt": "", "observed": "untried", "refused": None, "seconds": 0.0}
BAD = {**ROW, "refused": False, "served": 1, "observed": "CONTROL AFTER: no grant; x"}


@pytest.mark.parametrize("row", [ROW, CONTROL, UNTRIED, BAD])
def test_no_line_is_wider_than_a_terminal(row):
    assert all(len(line) <= WIDTH for line in told(row))
    lines = list(table([row]))
    assert all(len(line) <= WIDTH for line in lines)
    assert any(line.startswith(row["id"]) for line in lines)


def test_the_table_has_a_line_for_each_row_and_names_what_is_left():
    lines = list(table([CONTROL, ROW, BAD]))
    assert [line.split()[0] for line in lines[:4]] == ["id", "control", "N128", "N128"]
    assert "NOT REFUSED" in lines[3] and "Not run here, and why:" in lines


@pytest.mark.parametrize("row", [BAD, UNTRIED, {**CONTROL, "refused": False}])
def test_whatever_is_not_as_it_should_be_fails_the_campaign(row):
    assert not failed([CONTROL, ROW])
    assert failed([CONTROL, ROW, row])


def test_counts():
    assert summary([CONTROL, ROW, BAD, UNTRIED]) == (
        "2 threats tried, 1 refused, 1 untried; 4 of 5 controls served"
    )


class Refusing:
    """A target that refuses whoever comes."""

    def enrol(self):
        raise RuntimeError("refused")

    def elsewhere(self):
        return nullcontext()


def test_a_control_that_is_refused_says_so():
    assert "refused" in control(Refusing(), "join")
    assert {a.control for a in ATTEMPTS} <= set(CONTROLS)
