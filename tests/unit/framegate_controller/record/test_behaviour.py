"""Findings get into the record once, whatever ends a controller in between."""

import json
from contextlib import contextmanager

import pytest

from framegate.behaviour.deed import Sites
from framegate.findings.kinds import Finding, FindingKind
from framegate.record.entry import Act
from framegate.record.event import Severity
from framegate.record.people_events import BreakGlassUsed, SignedIn, SignInFailed, VerbAllowed
from framegate.record.site_events import SiteFinding
from framegate_controller.record.behaviour import NEXT, BehaviourRecord
from framegate_controller.record.counts import EventCounts
from framegate_controller.store.ports import EntryQuery

GATEWAY = "gateway.line-1.gw1"
FOUND = EntryQuery(event="behaviour-noticed")


def did(bench, *events, actor="operator.anna", source="10.0.0.9"):
    with bench.store.writing() as tx:
        tx.act = Act(actor=actor, source=source)
        for event in events:
            tx.record(event)


def found(bench):
    with bench.store.reading() as tx:
        size = tx.log.size()
        entries = tx.log.entries(FOUND, first=0, below=size, most=1000)
        return [json.loads(e.entry) for e in entries]


def guessed(times=5):
    failed = SignInFailed(what="sign-in", source="10.0.0.9")
    return (*[failed] * times, SignedIn(method="password", source="10.0.0.9"))


def test_a_finding_names_rule_person_and_entries(bench):
    record = BehaviourRecord(bench.store, Sites())
    record.read()
    did(bench, *guessed())
    record.read()
    (entry,) = found(bench)
    told = entry["members"]
    assert entry["actor"] == "controller" and told["operator"] == "anna"
    assert told["rule"] == "failures-then-success" and told["rank"] == Severity.HIGH
    assert told["last"] - told["first"] == 5
    assert f"entries {told['first']} to {told['last']}" in entry["detail"]
    record.read()
    assert len(found(bench)) == 1


def test_what_was_before_the_rules_is_habit_and_no_finding(bench):
    did(bench, *guessed(), BreakGlassUsed(source="10.0.0.9"))
    record = BehaviourRecord(bench.store, Sites())
    record.read()
    assert not found(bench)
    did(bench, BreakGlassUsed(source="10.0.0.9"))
    record.read()
    assert len(found(bench)) == 1


def test_a_rule_is_met_across_a_restart(bench):
    BehaviourRecord(bench.store, Sites()).read()
    did(bench, *guessed()[:3])
    BehaviourRecord(bench.store, Sites()).read()
    did(bench, *guessed()[3:])
    BehaviourRecord(bench.store, Sites()).read()
    BehaviourRecord(bench.store, Sites()).read()
    assert len(found(bench)) == 1


@pytest.mark.parametrize("fails_at", ["record", "put"])
def test_a_transaction_that_fails_is_done_again_and_once(bench, monkeypatch, fails_at):
    record = BehaviourRecord(bench.store, Sites())
    record.read()
    did(bench, *guessed())
    opened = bench.store.writing

    @contextmanager
    def failing():
        with opened() as tx:

            def fail(*_args, **_given):
                raise OSError("disk full")

            monkeypatch.setattr(tx if fails_at == "record" else tx.settings, fails_at, fail)
            yield tx

    monkeypatch.setattr(bench.store, "writing", failing)
    with pytest.raises(OSError, match="disk full"):
        record.read()
    monkeypatch.setattr(bench.store, "writing", opened)
    assert not found(bench)
    record.read()
    assert len(found(bench)) == 1


def test_the_place_is_kept_now_and_then_without_a_finding(bench, monkeypatch):
    monkeypatch.setattr("framegate_controller.record.behaviour.SAVE_EVERY", 10)
    record = BehaviourRecord(bench.store, Sites())
    record.read()

    def place():
        with bench.store.reading() as tx:
            return int(tx.settings.get(NEXT))

    before = place()
    did(bench, *[VerbAllowed(verb="device.list", about="x")] * 12)
    record.read()
    assert place() == before + 12


def test_an_older_copy_of_the_registry_is_read_to_its_end(bench):
    with bench.store.writing() as tx:
        tx.settings.put(NEXT, "999999")
    record = BehaviourRecord(bench.store, Sites())
    record.read()
    did(bench, BreakGlassUsed(source="10.0.0.9"))
    record.read()
    assert len(found(bench)) == 1


def test_counts_are_of_what_came_since(bench):
    did(bench, BreakGlassUsed(source="x"))
    counts = EventCounts(bench.store)
    did(bench, *guessed(2), *[VerbAllowed(verb="device.list", about="x")] * 600)
    counts.read()
    assert counts.events == {"sign-in-failed": 2, "signed-in": 1, "allowed": 600}
    assert counts.failed_sign_ins == 2
    assert counts.severities == {"medium": 2, "informational": 601}


def test_what_gateways_say_was_taken_without_approval_is_held_against_who_took_it(bench):
    record = BehaviourRecord(bench.store, Sites())
    did(bench, SignedIn(method="password", source="10.0.0.9"))
    left = Finding(
        kind=FindingKind.FRAME_EXPORTED,
        device="",
        reason="operator.anna",
        count=6,
        first_ms=1,
        last_ms=2,
    )
    with bench.store.writing() as tx:
        event = SiteFinding(device=GATEWAY, finding=left, reporter=GATEWAY, store="s", report=1)
        tx.record(event, by=GATEWAY)
    record.read()
    (noticed,) = found(bench)
    told = noticed["members"]
    assert (told["rule"], told["operator"]) == ("exports", "anna")
