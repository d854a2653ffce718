"""The threat model is true to the code: every threat has a row, and every row of N126 and later
names a check, tests and an attempt that exist.
"""

import ast
import re
from functools import cache

import pytest

from framegate_simulators.attack.campaign import THREATS
from framegate_simulators.attack.expected import EXPECTED
from framegate_simulators.attack.not_run import NOT_RUN
from framegate_simulators.attack.target import ATTEMPTS
from support.paths import ROOT, TESTS

PAGE = (ROOT / "docs/concepts/threat-model.md").read_text()
TRACED = [f"N{n}" for n in (*range(126, 156), *range(160, 169), *range(170, 176), *range(180, 187))]
ATTACKS = ROOT / "simulators/framegate_simulators/attack"


def rows(section: str) -> list[list[str]]:
    table = re.findall(r"^\| (N\d.*) \|$", section, re.M)
    return [[cell.strip() for cell in row.split(" | ")] for row in table]


def spread(ids: str) -> set[str]:
    """The ids of a cell such as `N03–N06` or `N13 (IAK)`."""
    known = set()
    for first, last in re.findall(r"N(\d+)(?:–N(\d+))?", ids):
        known |= {f"N{n:02}" for n in range(int(first), int(last or first) + 1)}
    return known


MODEL, _, REST = PAGE.partition("## Where N126")
TRACE = {row[0]: row[1:] for row in rows(REST.partition("## Known limits")[0])}


@cache
def every_test() -> frozenset[str]:
    """Names of all tests."""
    return frozenset(
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    )


def test_every_threat_has_a_row_and_every_row_a_threat():
    in_rows = set().union(*(spread(row[0]) for row in rows(MODEL)))
    assert in_rows == set(THREATS)


def test_every_threat_is_tried_once_and_says_why_it_is_refused():
    tried = [a.threat for a in ATTEMPTS]
    assert sorted(tried) == sorted(THREATS)
    assert set(EXPECTED) <= set(THREATS)
    assert set(TRACED) <= set(EXPECTED), "a refusal for any reason proves nothing"


def test_every_threat_is_in_the_name_of_a_test():
    ids = {
        n.upper()
        for name in every_test()
        for n in re.findall(r"(?i)(?<![a-z])n\d{2,3}(?!\d)", name)
    }
    assert set(THREATS) - ids == set()
    assert ids - set(THREATS) == set(), "tests of threats that nobody lists"


def test_every_traced_threat_has_a_row():
    assert sorted(TRACE) == sorted(TRACED)


@pytest.mark.parametrize("threat", TRACED)
def test_the_check_the_tests_and_the_attempt_of_a_row_exist(threat):
    check, named, attempt = TRACE[threat]
    files = re.findall(r"`([\w/]+\.py)(?::(\w+))?`", check)
    assert files
    for file, name in files:
        code = [
            path.read_text()
            for folder in ("core", "agent", "controller", "proto")
            for path in (ROOT / folder).rglob(file.rpartition("/")[2])
            if path.as_posix().endswith("/" + file)
        ]
        assert code, file
        assert not name or any(re.search(rf"(def|class) {name}\b", text) for text in code), name
    names = re.findall(r"`(test_\w+)`", named)
    assert names and set(names) <= every_test()
    assert all(threat.lower() in name for name in names)
    (file, function) = re.fullmatch(r"`attack/(\w+\.py):(\w+)`", attempt).groups()
    (run,) = [a.run for a in ATTEMPTS if a.threat == threat]
    assert (run.__module__, run.__name__) == (
        f"framegate_simulators.attack.{file.removesuffix('.py')}",
        function,
    )
    assert (ATTACKS / file).exists()


@pytest.mark.parametrize("left", NOT_RUN, ids=lambda left: left.what)
def test_what_is_not_run_has_a_reason_and_a_test(left):
    assert left.threat in THREATS and left.why
    assert left.test in every_test(), left.test


def test_a_name_that_is_made_up_is_no_test():
    assert "test_n126_nothing_of_the_kind" not in every_test()
    assert spread("N03–N05 N13 (IAK)") == {"N03", "N04", "N05", "N13"}
