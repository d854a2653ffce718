"""The threat model is true to the code, and its check finds each way in which it is not.

`scripts/threats.py` runs in make check.
"""

import importlib.util
import sys

import pytest

from framegate_simulators.attack.campaign import THREATS
from framegate_simulators.attack.expected import EXPECTED
from framegate_simulators.attack.not_run import NOT_RUN
from framegate_simulators.attack.target import ATTEMPTS
from support.paths import ROOT

SPEC = importlib.util.spec_from_file_location("threats", ROOT / "scripts/threats.py")
threats = sys.modules["threats"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(threats)
TEXT = (ROOT / threats.PAGE).read_text()
HERE = threats.code_of(ROOT)
TRACED = [t for t in THREATS if int(t[1:]) >= threats.TRACED_FROM]


def test_the_page_is_true_to_the_code():
    assert list(threats.check(TEXT, HERE)) == []


def test_the_campaign_tries_what_its_files_say_and_says_why_each_is_refused():
    """What is read out of the files is what a campaign runs, each once."""
    ran = {
        a.threat: (a.run.__module__.rpartition(".")[2] + ".py", a.run.__name__) for a in ATTEMPTS
    }
    assert {threat: tuple(attempt) for threat, attempt in HERE.attempts.items()} == ran
    assert len(ATTEMPTS) == len(ran) and set(ran) == set(THREATS)
    assert set(EXPECTED) <= set(THREATS)
    assert set(TRACED) <= set(EXPECTED), "a refusal for any reason proves nothing"


@pytest.mark.parametrize("left", NOT_RUN, ids=lambda left: left.what)
def test_what_is_not_run_has_a_reason_and_a_test(left):
    assert left.threat in THREATS and left.why
    assert HERE.instead[f"{left.threat}, {left.what}"] == left.test


CODE = threats.Code(
    {
        "core/framegate/room/door.py": (
            'LIMIT: Final = 3\n\ndef shut(x):\n    """Shut.\n\n    1. now; 2. always.\n    """\n'
        ),
        "simulators/framegate_simulators/attack/doors.py": "def n126(t): ...\n",
        "controller/framegate_x/other.py": "class Lock:\n    def turn(self): ...\n",
    },
    frozenset({"test_n125_before", "test_n126_a_door_stays_shut", "test_other"}),
    {"N125": threats.Attempt("old.py", "n125"), "N126": threats.Attempt("doors.py", "n126")},
)
SOUND = """# T

| id | attack | check |
|---|---|---|
| N125 | before | `room/door.py`: a lock |
| N126 | a door | `door.py:shut` checks 1, 2; `other.py:Lock.turn`; `door.py:LIMIT` |

## Where N126 and later are tested and tried

| N126 | `door.py:shut` | `test_n126_a_door_stays_shut` | `attack/doors.py:n126` |

## Known limits
- `test_other` says more.
"""


def faults(page=SOUND, **changes) -> str:
    import dataclasses

    return "\n".join(threats.check(page, dataclasses.replace(CODE, **changes)))


def test_a_page_that_is_true_has_no_fault():
    assert faults() == ""


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (
            "`test_n126_a_door_stays_shut`",
            "neither test_n126_another nor its file tests/a/test_x.py",
        ),
        ("`test_n126_a_door_stays_shut`; more in `test_x.py`", ""),
        ("`test_n126_a_door_stays_shut`; more in `a/test_x.py`", ""),
        ("`test_n126_a_door_stays_shut`, `test_n126_another`", ""),
    ],
)
def test_a_test_that_its_line_does_not_lead_to_is_told(said, fault):
    names = "def test_n126_another(): ...\ndef test_n1260(): ...\ndef test_n125_before(): ...\n"
    modules = {**CODE.modules, "tests/a/test_x.py": names}
    tests = CODE.tests | {"test_n126_another"}
    page = SOUND.replace("`test_n126_a_door_stays_shut`", said)
    assert fault in faults(page, modules=modules, tests=tests)
    assert bool(fault) == bool(faults(page, modules=modules, tests=tests))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("`room/door.py`: a", "`room/gate.py`: a", "no file room/gate.py"),
        ("`door.py:shut` checks", "`door.py:shuts` checks", "door.py has no shuts"),
        ("checks 1, 2;", "checks 1, 3;", "door.py:shut lists no check 3"),
        ("`other.py:Lock.turn`", "`other.py:Lock.open`", "other.py has no Lock.open"),
        ("`door.py:LIMIT`", "`door.py:MOST`", "door.py has no MOST"),
        ("`test_other` says", "`test_others` says", "no test test_others"),
        ("| `door.py:shut` | `test", "| a lock | `test", "N126: no check is named"),
        ("`test_n126_a_door_stays_shut`", "some tests", "N126: no test is named"),
        ("`test_n126_a_door_stays_shut`", "`test_other`", "test_other is not named after it"),
        (
            "`attack/doors.py:n126`",
            "`attack/doors.py:n127`",
            "the attempt is `attack/doors.py:n126`",
        ),
        ("`attack/doors.py:n126` |", "`attack/doors.py:n126` | more |", "a line of four cells"),
        ("| N126 | `door.py:shut` |", "| N127 | `door.py:shut` |", "N126: no line says where"),
        (
            "| N126 | `door.py:shut` |",
            "| N127 | `door.py:shut` |",
            "N127 is traced twice, or is no",
        ),
        ("| N125 | before |", "| N124 | before |", "N125: tests or attempts are named after it"),
        ("| N125 | before |", "| N124–N125 | before |", "N124: no test is named after it"),
        ("| N125 | before |", "| N124–N125 | before |", "N124: the campaign does not try it"),
        ("| N125 | before |", "| N126 | before |", "N126 has two rows"),
        ("## Known limits", "## Limits", "the headings"),
    ],
)
def test_each_way_in_which_it_is_not_true_is_a_fault(old, new, said):
    assert old in SOUND and said in faults(SOUND.replace(old, new, 1))


def test_what_came_without_a_row_is_a_fault():
    assert "N130: tests or attempts" in faults(tests=CODE.tests | {"test_n130_more"})
    more = {**CODE.attempts, "N131": threats.Attempt("doors.py", "n131")}
    assert "N131: tests or attempts" in faults(attempts=more)
    assert "no test test_gone" in faults(instead={"N126, a hall": "test_gone"})


def test_a_threat_that_is_tried_twice_is_a_fault():
    one = '@attempt("N126", "x")\ndef n126(t): ...\n'
    assert threats.attempts_in({"a.py": one}) == {"N126": threats.Attempt("a.py", "n126")}
    with pytest.raises(ValueError, match="N126 is tried in"):
        threats.attempts_in({"a.py": one, "b.py": one})


def test_ids_of_a_cell():
    assert threats.spread("N03–N05 N13 (IAK)") == ["N03", "N04", "N05", "N13"]
