"""What a quarter brought, and what its pages and commands say."""

import importlib
import json
import re
import time

import pytest
import typer
from typer.testing import CliRunner

from framegate.assessment.check import catalogue
from framegate.assessment.page import SUPPORTS, claims_page, review_page
from framegate.assessment.reading import DAY_MS
from framegate.assessment.review import TRY, Moved, parse_quarter, quarter_of, review, to_do
from framegate.assessment.standing import standing
from framegate.errors import Malformed, Reason
from framegate.record.events import events
from framegate.record.people_events import VerbDenied
from framegate_operator.main import app
from framegate_simulators.fixtures.assessed_plant import AssessedPlant, exported
from framegate_simulators.fixtures.broken_controls import BREAKS
from support.command_walk import PROGRAMS
from support.paths import ROOT
from support.readings import reading_of

NOW = int(time.time() * 1000)
CLAIMING = re.compile(r"\b(compl(?:y|ies|iant)|certified|certif(?:y|ies)|conforms?)\b", re.I)


def test_quarters_follow_each_other_without_a_gap():
    first = parse_quarter("2026Q4")
    assert parse_quarter("2027-q1").from_ms == first.to_ms
    assert quarter_of(first.from_ms) == quarter_of(first.to_ms - 1) == first
    for text in ("", "2026", "2026Q5", "1999Q1", "Q4", "2026Q0"):
        with pytest.raises(Malformed):
            parse_quarter(text)


def test_a_review_says_what_improved_what_did_not_and_what_to_do():
    plant = AssessedPlant(NOW)
    BREAKS["sign-ins-phishing-resistant"](plant)
    found = review(reading_of(plant), NOW - 60 * DAY_MS, NOW)
    moved = {c.after.check.name: c.moved for c in found.compared}
    assert moved["drills-held"] == Moved.IMPROVED
    assert moved["sign-ins-phishing-resistant"] == Moved.NEW
    assert [c.check.name for c in to_do(found.compared)] == ["sign-ins-phishing-resistant"]
    later = review(reading_of(plant), NOW - 20 * DAY_MS, NOW)
    moved = {c.after.check.name: c.moved for c in later.compared}
    assert moved["sign-ins-phishing-resistant"] == Moved.WORSE
    assert moved["machines-pinned"] == Moved.SAME


def test_what_was_never_measured_is_not_said_to_have_stayed_as_it_was():
    found = review(reading_of(AssessedPlant(NOW)), NOW - 400 * DAY_MS, NOW - 390 * DAY_MS)
    nothing = [c for c in found.compared if c.before.fact.value is c.after.fact.value is None]
    assert nothing and {c.moved for c in nothing} == {Moved.UNMEASURED}
    page = review_page(found, "plant")
    did_not, _, after = page.partition("What did not</h2>")[2].partition("<h2>")
    assert "no data" not in did_not
    assert "People sign in with two factors" in after.partition("neither then nor now")[2]


def test_a_changes_effect_is_read_a_week_after_it_and_whether_it_was_tried():
    plant = AssessedPlant(NOW)
    BREAKS["policies-tried"](plant)
    no = VerbDenied(verb="device.lift", about="", reason=Reason.POLICY_DENIED)
    for ago in (42, 39, 38, 30):
        plant.add(ago * DAY_MS, no, "operator.anna")
    effects = {e.event: e for e in review(reading_of(plant), NOW - 45 * DAY_MS, NOW).effects}
    policies = [
        e
        for e in review(reading_of(plant), NOW - 45 * DAY_MS, NOW).effects
        if e.event == "policy-applied"
    ]
    assert [(e.tried, e.before, e.after) for e in policies] == [(True, 1, 2), (False, 0, None)]
    assert effects["policy-applied"].by == "operator.anna"


@pytest.fixture(scope="module")
def export(tmp_path_factory, keys):
    """A plant whose controls are broken here and there, as a file."""
    from cryptography.hazmat.primitives.serialization import Encoding

    plant = AssessedPlant(NOW)
    for name in ("backups-made", "sign-ins-phishing-resistant", "policies-tried"):
        BREAKS[name](plant)
    folder = tmp_path_factory.mktemp("export")
    (folder / "log").write_bytes(exported(plant.entries(), keys, NOW))
    pem = keys.root.certificate.public_bytes(Encoding.PEM)
    (folder / "log.root.pem").write_bytes(pem)
    return folder / "log"


def run(*words, **env):
    return CliRunner(env={"COLUMNS": "80", **env}).invoke(app, [str(w) for w in words])


COMMANDS = [
    ("assess",),
    ("assess", "data"),
    ("assess", "--zone", "line-1"),
    ("assess", "-o", "json"),
    ("goals", "facts"),
    ("goals", "facts", "-o", "json"),
    ("goals", "show"),
    ("review",),
    ("review", "-o", "json"),
    ("review", "-o", "page"),
    ("compliance", "list"),
    ("compliance", "list", "-o", "json"),
    ("compliance", "show", "gdpr"),
    ("compliance", "show", "gdpr", "-o", "json"),
    ("compliance", "statements"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_read_an_export_and_claim_no_more_than_support(export, words):
    shown = run(*words, "--export", export)
    assert shown.exit_code == 0, shown.output
    assert not CLAIMING.search(shown.output), shown.output
    if "json" in words:
        assert json.loads(shown.stdout)


def test_every_line_has_facts_entries_and_a_next_step(export):
    text = run("assess", "--export", export).output
    block = text.split("data.availability", 1)[1].split("\n\n")[0].split("data.access")[0]
    assert "fail: backups-made is 0, wanted at least 1" in block
    assert "next: framegate-controller backup --help" in block
    assert re.search(r"\(entries \d+", text)
    assert "at least" in text and "not assessed" in text


def test_an_evidence_folder_is_written_and_says_the_same_on_its_page(export, tmp_path):
    shown = run("compliance", "export", "--export", export, "--out", tmp_path / "evidence")
    assert shown.exit_code == 0, shown.output
    names = {p.name for p in (tmp_path / "evidence").iterdir()}
    assert names >= {"record.jsonl", "proofs.json", "results.json", "page.html", "root.pem"}
    for name in names - {"record.jsonl", "root.pem"}:
        assert not CLAIMING.search((tmp_path / "evidence" / name).read_text()), name


def test_an_edited_export_is_not_read(export, tmp_path):
    forged = tmp_path / "log"
    forged.write_bytes(export.read_bytes().replace(b"security-key", b"security-kez", 1))
    shown = run("assess", "--export", forged, "--root", f"{export}.root.pem")
    assert shown.exit_code != 0 and "audit-log" in shown.output


@pytest.mark.parametrize(
    "words",
    [
        ("assess", "nothing"),
        ("assess", "--zone", "line-9"),
        ("compliance", "show", "iso-27001"),
        ("review", "--quarter", "Q4"),
    ],
    ids=" ".join,
)
def test_wrong_words_are_told_what_is_right(export, words):
    shown = run(*words, "--export", export)
    assert shown.exit_code != 0
    assert "expected" in shown.output.lower()


def test_a_zone_that_has_machines_is_assessed_alone(export):
    assert run("assess", "--zone", "line-1", "--export", export).exit_code == 0
    assert "line-1" in run("assess", "--zone", "line-9", "--export", export).output


def test_pages_escape_what_strangers_wrote():
    plant = AssessedPlant(NOW)
    plant.join(DAY_MS, "camera.line-1.<b>")
    found = review_page(review(reading_of(plant), NOW - DAY_MS, NOW), "<i>plant</i>")
    page = claims_page(standing(reading_of(plant), NOW))
    assert "<i>plant" not in found and "<b>" not in page
    assert SUPPORTS.split(":")[0] in page


def test_no_text_of_the_package_claims_that_a_rule_is_met():
    folder = ROOT / "core/framegate/assessment"
    texts = [*folder.rglob("*.toml"), *(ROOT / "docs").rglob("assess*.md")]
    assert len(texts) >= 14
    for path in texts:
        assert not CLAIMING.search(path.read_text()), path


NEXT = re.compile(r"next: (framegate(?: [a-z-]+)*)")
"""A next step in the commands' own text; a word in capitals after it is the reader's."""


def printed() -> list[str]:
    """Every command that an assessment, the goals, the evidence or a review tells a person."""
    sources = ROOT / "controller/framegate_operator"
    told = [
        line
        for name in ("assess", "compliance", "goals", "quarter")
        for line in NEXT.findall((sources / f"{name}.py").read_text())
    ]
    assert len(told) >= 4
    return sorted({*(c.following for c in catalogue().checks.values()), *TRY.values(), *told})


@pytest.mark.parametrize("command", printed())
def test_every_next_step_is_taken_by_the_parser(command):
    program, *words = command.split()
    parser = typer.main.get_command(importlib.import_module(PROGRAMS[program]).app)
    while words and hasattr(parser, "get_command"):
        parser = parser.get_command(None, words.pop(0))
        assert parser is not None, command
    if words == ["--help"]:
        return
    if command == "framegate compliance show":
        words.append("gdpr")  # the reader's word
    parser.make_context(command, words)


def test_events_that_a_next_step_asks_for_are_events():
    asked = {
        words[words.index("--event") + 1]
        for words in (c.following.split() for c in catalogue().checks.values())
        if "--event" in words
    }
    assert asked and asked <= set(events())
