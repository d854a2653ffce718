"""`framegate audit rules` and `framegate audit behaviour`, as they are typed."""

import json
from dataclasses import replace

import pytest
import yaml
from typer.testing import CliRunner

from framegate.behaviour.rules import RULES
from framegate.record.entry import NO_ENTRY, Act, event_entry
from framegate.record.people_events import BreakGlassUsed, SignedIn
from framegate_operator.audit import app

ANNA = Act(actor="operator.anna", source="10.1.0.5")
DAY = 86_400_000


def run(*argv):
    return CliRunner().invoke(app, [*map(str, argv)])


@pytest.fixture
def export(tmp_path):
    """An export's lines: a header, entries, a head."""
    bodies = [
        event_entry(SignedIn(method="password", source="10.1.0.5"), ANNA, DAY),
        event_entry(BreakGlassUsed(source="10.2.0.5"), replace(ANNA, source="10.2.0.5"), DAY + 1),
    ]
    lines = [{"format": "x", "fleet": "plant"}]
    lines += [{**b, "index": n, "previous": NO_ENTRY} for n, b in enumerate(bodies)]
    path = tmp_path / "export.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (*lines, {"checkpoint": {}})))
    return path


def test_the_rules_are_listed():
    told = json.loads(run("rules", "-o", "json").stdout)
    assert [r["name"] for r in told] == list(RULES)
    assert all(name in run("rules").stdout for name in RULES)


def test_the_rules_are_written_as_sigma(tmp_path):
    assert run("rules", "-o", "sigma", "--out", tmp_path / "sigma").exit_code == 0
    assert {p.stem for p in (tmp_path / "sigma").iterdir()} == set(RULES)
    assert len(list(yaml.safe_load_all(run("rules", "-o", "sigma").stdout))) > len(RULES)


def test_an_export_is_held_against_the_rules(export):
    told = json.loads(run("behaviour", export, "-o", "json").stdout)
    assert [(f["rule"], f["person"], f["last"]) for f in told] == [("break-glass", "anna", 1)]
    sites = ("--site", "north=10.1.0.0/16", "--site", "south=10.2.0.0/16")
    told = json.loads(run("behaviour", export, *sites, "-o", "json").stdout)
    assert {f["rule"] for f in told} == {"break-glass", "two-sites"}
    shown = run("behaviour", export, *sites).stdout
    assert "1970-01-02 00:00" in shown and "anna" in shown


@pytest.mark.parametrize("site", ["north", "outside=10.0.0.0/8", "n=x"])
def test_sites_that_are_none_are_told(export, site):
    done = run("behaviour", export, "--site", site)
    assert done.exit_code == 2 and "NAME=NETWORK" in done.output


def test_a_line_that_is_no_json_is_told(export):
    export.write_text(export.read_text() + "{")
    done = run("behaviour", export)
    assert done.exit_code != 0 and "line 5" in done.output
