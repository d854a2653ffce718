"""The campaign against running programs: everything refused for the reason that is stated, and what
is sound served before and after. `make attack` runs all of it; here are the attempts that take a
few seconds each.
"""

import pytest

from framegate_simulators.attack.campaign import THREATS, run_campaign
from framegate_simulators.attack.report import failed

pytestmark = [pytest.mark.swtpm, pytest.mark.alone]
LONG = {
    "N104",
    "N105",
    "N108",
    "N120",
    "N123",
    "N127",
    "N130",
    "N143",
    "N145",
    "N148",
    "N149",
    "N153",
}
"""Half a minute and more each: models that are proved, processes that are killed, loads."""


def test_threats_are_tried_against_running_programs_and_refused():
    rows = run_campaign(lambda row: None, frozenset(THREATS) - LONG)
    assert not failed(rows), [r for r in rows if not r["refused"]]
    tried = {r["id"]: r for r in rows if r["id"] != "control"}
    assert set(tried) == set(THREATS) - LONG
    assert all(r["served"] == 2 for r in tried.values())
    assert sum(r["id"] == "control" for r in rows) == 2
