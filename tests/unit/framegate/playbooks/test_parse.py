"""Playbooks as files: what is none, and what a good one says."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason
from framegate.identity.certificates import Purpose
from framegate.playbooks.actions import Action, undo_command
from framegate.playbooks.cacao import cacao_of
from framegate.playbooks.parse import MAX_BYTES, parse_playbook
from framegate.playbooks.planner import InForce, Planner
from framegate.playbooks.playbook import By, Mode, Never
from framegate.playbooks.sighting import severity_of, sighting_of
from framegate.playbooks.statement import PlaybookStatement, in_force_of, verify_playbook
from framegate.record.event import Severity
from framegate_operator.playbook_cases import run_cases
from support.playbooks import HOLD, playbook_toml


def test_a_playbook_says_what_its_file_says():
    playbook = parse_playbook(HOLD)
    assert (playbook.name, playbook.mode) == ("hold-contradicted", Mode.ACT)
    assert playbook.do == (Action.QUARANTINE, Action.NOTIFY)
    assert playbook.when.by == By.DEVICE and playbook.when.count == 1
    assert playbook.never == frozenset(Never) and playbook.cooldown_ms == 3_600_000


BAD = {
    "no TOML": "name =",
    "a key that is not known": HOLD.replace("cooldown", "cooldwon"),
    "no name": HOLD.replace('name = "hold-contradicted"', 'name = ""'),
    "a name that is none": HOLD.replace("hold-contradicted", "Hold it"),
    "a summary over two lines": HOLD.replace("contradicts their", "contradicts\\ntheir"),
    "a mode that is none": HOLD.replace('"act"', '"acts"'),
    "an action that is none": HOLD.replace('["quarantine"', '["retire"'),
    "an action twice": HOLD.replace('["quarantine", "notify"]', '["notify", "notify"]'),
    "nothing to do": HOLD.replace('["quarantine", "notify"]', "[]"),
    "an event that is none": HOLD.replace('"contradicted"]', '"contradict"]'),
    "a routine event": HOLD.replace('"contradicted"]', '"attested"]'),
    "an event of playbooks": HOLD.replace('"contradicted"]', '"playbook-asked"]'),
    "neither event nor severity": HOLD.replace('event = ["contradicted"]', "count = 1"),
    "a reason that is none": HOLD.replace("[when]", '[when]\nreason = ["because"]'),
    "a severity that is none": HOLD.replace("[when]", '[when]\nseverity = "worst"'),
    "a severity that is a number": HOLD.replace("[when]", "[when]\nseverity = 4"),
    "a count without a window": HOLD.replace("[when]", "[when]\ncount = 3"),
    "a count of nought": HOLD.replace("[when]", '[when]\ncount = 0\nwindow = "1h"'),
    "a count that is true": HOLD.replace("[when]", '[when]\ncount = true\nwindow = "1h"'),
    "a window that is none": HOLD.replace("[when]", '[when]\nwindow = "an hour"'),
    "a window of a month": HOLD.replace("[when]", '[when]\nwindow = "30d"'),
    "a zone that is none": HOLD.replace("[when]", '[when]\nzone = ["line 1"]'),
    "counted by what is none": HOLD.replace("[when]", '[when]\nby = "colour"'),
    "no cap": HOLD.replace("devices = 5", "devices = 0"),
    "a cap that is none": HOLD.replace("devices = 5", "devices = 1000000"),
    "a share of more than all": HOLD.replace("share = 100", "share = 101"),
    "a cap with a word too many": HOLD.replace("share", "percent = 3\nshare"),
    "a cooldown that is short": HOLD.replace('cooldown = "1h"', 'cooldown = "59s"'),
    "no cooldown": HOLD.replace('cooldown = "1h"\n', ""),
    "an undo that does not undo": HOLD.replace('"release"', '"thaw"'),
    "an action without its undo": HOLD.replace('quarantine = "release"\n', ""),
    "an undo of what is not done": HOLD + 'freeze-zone = "thaw"\n',
    "no word why nothing undoes it": HOLD.replace("none: what was told is known", "none: "),
    "an undo where nothing undoes it": HOLD.replace("none: what was told is known", "release"),
    "approvers are not spared": HOLD.replace("[when]", 'never = ["break-glass"]\n[when]'),
    "never is what is none": HOLD.replace("[when]", 'never = ["sundays"]\n[when]'),
    "no tables": 'name = "a"\nsummary = "b"\nmode = "act"\ndo = ["notify"]\n',
    "too large": HOLD + "#" * MAX_BYTES,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_is_no_playbook_is_refused_with_a_reason(text):
    with pytest.raises(Malformed):
        parse_playbook(text)


def test_the_last_camera_alone_may_be_left_to_the_author():
    text = HOLD.replace("[when]", 'never = ["break-glass", "approver"]\n[when]')
    assert Never.LAST_CAMERA not in parse_playbook(text).never


@given(st.text(max_size=200), st.integers(0, len(HOLD)), st.integers(0, 40))
def test_whatever_comes_only_our_errors_come_out(more, at, cut):
    for text in (more, HOLD[:at] + more + HOLD[at + cut :]):
        try:
            playbook = parse_playbook(text)
        except Malformed:
            continue
        assert playbook.text == text and playbook.do and playbook.cooldown_ms >= 60_000


def test_cases_beside_a_playbook_are_run(tmp_path):
    file = tmp_path / "hold.json"
    moved = {"event": "proved", "device": "camera.line-1.b", "to": "trusted"}
    bad = {"event": "contradicted", "device": "camera.line-1.a", "to": "suspect"}
    cases = [
        {"case": "held", "entries": [moved, bad], "expect": ["act"]},
        {"case": "the last one", "entries": [bad], "expect": ["never"]},
        {"case": "wrong", "entries": [moved], "expect": ["act"]},
    ]
    file.write_text(json.dumps(cases))
    results = run_cases(parse_playbook(HOLD), file)
    assert [bool(r.failure) for r in results] == [False, False, True]
    assert run_cases(parse_playbook(HOLD), tmp_path / "none.json") == ()
    for text in ("[", "{}", "[1]", '[{"case": 1}]', '[{"case": "x", "entries": [1]}]'):
        file.write_text(text)
        if text != "{}":
            with pytest.raises(Malformed):
                run_cases(parse_playbook(HOLD), file)


def test_cacao_leads_from_start_to_end_through_every_action_and_is_the_same_each_time():
    playbook = parse_playbook(HOLD)
    made = cacao_of(playbook)
    assert made == cacao_of(playbook) and made["spec_version"] == "cacao-2.0"
    step, way = made["workflow_start"], []
    while made["workflow"][step]["type"] != "end":
        way.append(made["workflow"][step].get("name", "start"))
        step = made["workflow"][step]["on_completion"]
    assert way == ["start", "quarantine", "notify"]
    assert len(made["workflow"]) == 4 and "cap" not in made
    assert "5 targets and 100 % of a zone" in made["description"]


def test_severity_is_that_of_the_edge_where_edges_differ():
    assert severity_of("contradicted") == Severity.HIGH
    assert severity_of("late") == Severity.LOW
    assert severity_of("of-a-later-version") == Severity.INFORMATIONAL


def entry(event: str, at_ms: int, **members):
    return sighting_of({"index": at_ms, "at_ms": at_ms, "event": event, "actor": "x", **members})


def verdicts(text: str, *entries) -> list[str]:
    planner = Planner()
    planner.put(InForce(playbook=parse_playbook(text), revision=1, people=frozenset()))
    return [r.verdict.value for e in entries for r in planner.see(e)]


def test_a_count_slides_and_begins_anew_once_it_was_answered():
    text = playbook_toml(
        do=("notify",),
        when='event = ["evidence-refused"]\ncount = 3\nwindow = "10s"',
        cooldown="1m",
    )
    cam = {"device": "camera.line-1.a"}
    at = [entry("evidence-refused", t, **cam) for t in (0, 9_000, 11_000, 12_000)]
    assert verdicts(text, *at[:3]) == []
    assert verdicts(text, *at) == ["act"]
    late = [entry("evidence-refused", 100_000 + t, **cam) for t in (0, 1, 2)]
    assert verdicts(text, *at, *late) == ["act", "act"]
    other = entry("evidence-refused", 12_000, device="camera.line-1.b")
    assert verdicts(text, *at[:3], other) == []


def test_severity_zone_and_reason_narrow_it():
    text = playbook_toml(
        do=("notify",),
        when='severity = "high"\nzone = ["line-2"]\nreason = ["signature"]',
    )
    said = {"members": {"reasons": ["signature", "mac"]}}
    good = entry("evidence-refused", 1, device="camera.line-2.a", **said)
    assert verdicts(text, good) == ["act"]
    assert verdicts(text, entry("evidence-refused", 1, device="camera.line-1.a", **said)) == []
    assert verdicts(text, entry("evidence-refused", 1, device="camera.line-2.a")) == []
    assert verdicts(text, entry("attest-now", 1, device="camera.line-2.a", **said)) == []


def test_an_entry_about_nobody_names_no_target():
    text = playbook_toml(do=("disable-operator",), when='event = ["late"]')
    assert verdicts(text, entry("late", 1, device="camera.line-1.a")) == ["never"]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4_000_000)), max_size=60))
def test_n152_in_no_hour_more_than_the_cap_acts(drawn):
    text = playbook_toml(do=("attest-now",), devices=3, cooldown="1m")
    planner = Planner()
    planner.put(InForce(playbook=parse_playbook(text), revision=1, people=frozenset()))
    acted, now = [], 0
    for camera, gap in drawn:
        now += gap
        seen = entry("contradicted", now, device=f"camera.line-1.c{camera}", to="suspect")
        acted += [(now, r.subject) for r in planner.see(seen) if r.verdict == "act"]
    for at, _ in acted:
        assert len({s for t, s in acted if at - 3_600_000 < t <= at}) <= 3


def test_a_signed_playbook_is_of_its_name_and_revision_and_of_this_fleet(keys):
    signer = keys.signing["policy"]
    statement = PlaybookStatement(
        name="hold-contradicted",
        revision=3,
        text=HOLD,
        enabled_by="anna",
        approvers=("sven",),
        enabled_at_ms=signer_time(keys),
    )
    sealed = statement.seal(signer.der, signer.sign)
    root = keys.root.certificate
    held = in_force_of(verify_playbook(sealed, "hold-contradicted", 3, root))
    assert held is not None and held.people == {"anna", "sven"}
    for name, revision in (("other", 3), ("hold-contradicted", 2)):
        with pytest.raises(FramegateError) as caught:
            verify_playbook(sealed, name, revision, root)
        assert caught.value.reason == Reason.PLAYBOOK
    other = keys.signing["mask"]
    with pytest.raises(FramegateError) as caught:
        verify_playbook(statement.seal(other.der, other.sign), "hold-contradicted", 3, root)
    assert caught.value.reason == Reason.CERTIFICATE
    assert PlaybookStatement.PURPOSE == Purpose.POLICY


def signer_time(keys) -> int:
    from cryptography.x509 import load_der_x509_certificate

    made = load_der_x509_certificate(keys.signing["policy"].der).not_valid_before_utc
    return int(made.timestamp() * 1000) + 60_000


def test_an_undo_is_a_command_with_the_names_that_people_use():
    assert undo_command(Action.QUARANTINE, "gateway.line-1.gw1") == "framegate gateway release gw1"
    assert undo_command(Action.DISABLE_OPERATOR, "anna") == "framegate operator enable anna"
    assert undo_command(Action.NOTIFY, "anna") == ""


def test_what_is_removed_runs_no_more_and_a_new_revision_is_no_new_cap():
    text = playbook_toml(do=("attest-now",), devices=1, cooldown="1m")
    enabled = InForce(playbook=parse_playbook(text), revision=1, people=frozenset())
    planner = Planner()
    planner.put(enabled)
    assert planner.in_force == {"hold-contradicted": enabled}
    assert [r.verdict for r in planner.see(entry("contradicted", 1, device="camera.z.a"))] == [
        "act"
    ]
    planner.remove("hold-contradicted")
    planner.remove("never-there")
    assert planner.in_force == {}
    assert planner.see(entry("contradicted", 2, device="camera.z.b")) == ()
    planner.put(replace(enabled, revision=2))
    (run,) = planner.see(entry("contradicted", 3, device="camera.z.b"))
    assert (run.revision, run.verdict.value, run.why) == (2, "ask", "cap: 1 an hour")


def test_what_a_playbook_did_is_answered_by_none():
    seen = replace(entry("contradicted", 1, device="camera.z.a"), actor="playbook.other")
    planner = Planner()
    text = playbook_toml(do=("attest-now",))
    planner.put(InForce(playbook=parse_playbook(text), revision=1, people=frozenset()))
    assert planner.see(seen) == ()


@pytest.mark.parametrize(
    ("by", "answers"), [("device", 0), ("zone", 1), ("actor", 1), ("fleet", 1)]
)
def test_entries_are_counted_by_what_the_playbook_says(by, answers):
    text = playbook_toml(
        do=("notify",), when=f'event = ["late"]\ncount = 2\nwindow = "10s"\nby = "{by}"'
    )
    entries = [entry("late", n, device=f"camera.line-1.c{n}") for n in (1, 2)]
    assert verdicts(text, *entries) == ["act"] * answers


@pytest.mark.parametrize(
    ("do", "about"),
    [("freeze-zone", {"members": {"zone": ""}}), ("quarantine", {}), ("end-sessions", {})],
)
def test_an_entry_that_names_no_target_of_its_kind_is_answered_by_nothing_done(do, about):
    text = playbook_toml(do=(do,), when='event = ["registry-restored"]')
    assert verdicts(text, entry("registry-restored", 1, **about)) == ["never"]
