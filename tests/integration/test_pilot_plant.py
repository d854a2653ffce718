"""A zone that is piloted, through the real commands: two people, a controller, two gateways, a
line with its PLC. What is judged bad goes on and is no PASS, and enforcing takes two.
"""

import json

import pytest
from rich.console import Console

from framegate_simulators.demo.cast import Cast
from framegate_simulators.plant.line_plant import LINE, LinePlant
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with (
        Plant(interval_s=3.0, logs=tmp_path_factory.mktemp("logs")) as plant,
        plant.explained(),
        LinePlant(plant) as plant_line,
    ):
        yield plant_line


def by_two(line, cast, *argv):
    """sara asks, sven approves, sara does it; what the approver was shown."""
    request = cast.request(cast.refused(*argv, who="sara"))
    shown = line.plant.framegate("access", "approve", request, who=cast.who["sven"]).stderr
    line.plant.framegate(*argv, who=cast.who["sara"])
    return shown


def stage_of_line(line):
    return line.ledger()["stage"]


def shown_screen(plant):
    """One screen; nothing while a busy machine takes no connection in time."""
    done = plant.framegate("status", check=False)
    return done.stdout if done.returncode == 0 else ""


def bad_parts(line, count=8):
    """How many bad parts of so many were let through."""
    before = len(line.conveyor.parts)
    line.conveyor.run(count)
    parts = line.conveyor.parts[before:]
    assert all(p.let_through is not None for p in parts)
    return sum(p.let_through for p in parts if not p.good), sum(not p.good for p in parts)


def test_a_zone_is_judged_and_nothing_diverted_until_two_enforce_it(line):
    plant, cast = line.plant, Cast(line.plant, Console(quiet=True))
    cast.who["sara"] = plant.add_person("sara", "security")
    cast.who["sven"] = cast.added_by_two("sven", "security")
    line.healed()
    through, bad = bad_parts(line)
    assert bad and not through, "enforced to begin with"

    shown = by_two(line, cast, "pilot", "observe", "line-1", "--until", "30d")
    assert "pilots.toml" in shown and 'stage = "observe"' in shown
    wait_for("the line to be told", lambda: stage_of_line(line) == "observe", 60)
    through, bad = bad_parts(line)
    assert bad and through == bad, "every part goes on"
    assert line.ledger()["undiverted"] >= bad
    screen = wait_for("the screen", lambda: shown_screen(plant), 60)
    assert "ZONE line-1 DIVERTS NOTHING" in screen and f"LINE {LINE} DIVERTS NOTHING" in screen
    assert plant.ask("status")["pilots"] == {"line-1": "observe"}
    verdicts = plant.ask("verdict", "list", "--outcome", "DEFECT")
    staged = [v for v in verdicts if v["stage"] == "observe"]
    assert staged
    receipt = plant.framegate("verdict", "show", staged[0]["verdict_id"]).stdout
    assert "observe: its zone diverts nothing" in receipt and "DEFECT" in receipt

    def reported():
        body = plant.ask("pilot", "report", "line-1")
        return body if body["would_be_diverted"] >= bad else None

    body = wait_for("the line's report", reported, 60)
    assert body["cameras"] == list(line.cameras)
    assert {r["outcome"] for r in body["rows"]} >= {"DEFECT"}
    assert all(r["stage"] == "observe" and r["line"] == LINE for r in body["rows"])

    by_two(line, cast, "pilot", "enforce", "line-1")
    wait_for("the line to be told", lambda: stage_of_line(line) == "enforce", 60)
    through, bad = bad_parts(line)
    assert bad and not through
    assert "DIVERTS NOTHING" not in plant.framegate("status").stdout
    history = plant.framegate("policy", "history").stdout
    assert "DIVERTS NOTHING" in " ".join(history.split())
    assert json.loads(plant.framegate("pilot", "show", "-o", "json").stdout)["pilots"] == []
