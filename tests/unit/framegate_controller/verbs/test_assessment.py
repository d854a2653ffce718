"""Goals put in force and told of when they are missed; statements of what only a person knows."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.assessment.check import all_checked
from framegate.assessment.facts import all_measured, facts
from framegate.assessment.framework import claimed, framework_named, sayable
from framegate.assessment.goals import parse_goals
from framegate.assessment.maturity import Stage, assess
from framegate.assessment.reading import DAY_MS, View, reading_of
from framegate.assessment.statement import PostureStatement, said_in
from framegate.errors import Reason
from framegate.record.fleet_events import RegistryBackedUp
from framegate.record.incident_events import DrillDeclared
from framegate_controller.ca.issue import issue_operator
from framegate_controller.ca.open import found_fleet
from framegate_controller.record.goals import GoalWatch, goals_text
from framegate_controller.rpc import assessment
from framegate_controller.store.ports import EntryQuery
from framegate_controller.verbs.in_force import in_force
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller
from support.refusals import refused
from support.verb_requests import GOALS


@pytest.fixture
def desk(bench):
    return AllowedCaller(bench.store, bench.fleet, assessment.ROWS)


class Signer:
    """A session's key of an operator."""

    def __init__(self, keys, now_ms, name="anna"):
        self.name, self.now_ms = name, now_ms
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        life = timedelta(hours=8)
        self.certificate = issue_operator(keys, name, self.key.public_key(), life, now)

    def sign(self, text, **changed):
        given = {"text": text, "operator": self.name, "signed_at_ms": self.now_ms} | changed
        der = self.certificate.public_bytes(Encoding.DER)
        return PostureStatement(**given).seal(
            der, lambda b: self.key.sign(b, ec.ECDSA(hashes.SHA256()))
        )


def said(about="ztmm/data.inventory", says="initial", days=90, now_ms=0):
    ends = datetime.fromtimestamp(now_ms / 1000, UTC).date() + timedelta(days=days)
    return (
        f'version = 1\n[[statement]]\nabout = "{about}"\nsays = "{says}"\n'
        f'because = "I looked"\nexpires = {ends}\n'
    )


def state(desk, envelope):
    return desk.ask("StatePosture", pb.StatePostureRequest(envelope=envelope))


def test_a_statement_stands_in_the_record_and_counts_until_it_ends(bench, desk):
    now = bench.clock()
    reply = state(desk, Signer(bench.keys, now).sign(said(now_ms=now)))
    (entry,) = bench.events("posture-stated")
    assert (entry["index"], list(reply.about)) == (reply.index, ["ztmm/data.inventory"])
    held = said_in([entry], sayable(), now + DAY_MS)
    assert held["ztmm/data.inventory"].by == "operator.anna"
    checked = all_checked(View(reading_of([]), now))
    found = {a.function.name: a for a in assess(checked, held)}["data.inventory"]
    assert (found.stage, found.said.index) == (Stage.INITIAL, reply.index)
    assert not said_in([entry], sayable(), reply.expires_ms)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("another's", Reason.SIGNATURE),
        ("claims another", Reason.SIGNATURE),
        ("altered", Reason.SIGNATURE),
        ("old", Reason.SIGNATURE),
        ("of the future", Reason.SIGNATURE),
        ("foreign", Reason.CERTIFICATE),
        ("over", Reason.CERTIFICATE_EXPIRED),
        ("of another purpose", Reason.CERTIFICATE),
    ],
)
def test_n194_nobody_says_what_another_signed(bench, desk, tmp_path, how, reason):
    now = bench.clock()
    text, own = said(now_ms=now), Signer(bench.keys, now)
    berta = Signer(bench.keys, now, "berta")
    log = bench.keys.signing["log"]
    forged = {
        "another's": lambda: berta.sign(text),
        "claims another": lambda: berta.sign(text, operator="anna"),
        "altered": lambda: own.sign(text).replace(b'"sig":"M', b'"sig":"N'),
        "old": lambda: own.sign(text, signed_at_ms=now - 2 * DAY_MS),
        "of the future": lambda: own.sign(text, signed_at_ms=now + 60_000),
        "foreign": lambda: Signer(found_fleet(tmp_path / "k", "plant"), now).sign(text),
        "over": lambda: Signer(bench.keys, now - 2 * DAY_MS).sign(text, signed_at_ms=now),
        "of another purpose": lambda: PostureStatement(
            text=text, operator="anna", signed_at_ms=now
        ).seal(log.der, log.sign),
    }[how]()
    assert refused(lambda: state(desk, forged)) == reason
    assert not bench.events("posture-stated")


def test_n195_a_word_never_makes_a_measured_failure_good(bench, desk):
    now = bench.clock()
    text = said("ztmm/data.availability", "optimal", now_ms=now)
    text += said("gdpr/art-32.1.c", "pass", now_ms=now).removeprefix("version = 1\n")
    state(desk, Signer(bench.keys, now).sign(text))
    entries = bench.events("posture-stated")
    held = said_in(entries, sayable(), now)
    assert set(held) == {"ztmm/data.availability", "gdpr/art-32.1.c"}
    checked = all_checked(View(reading_of(entries), now))
    assert checked["backups-made"].status == "fail"
    found = {a.function.name: a for a in assess(checked, held)}["data.availability"]
    assert (found.stage, found.said) == (Stage.TRADITIONAL, None)
    claims = {c.claim.name: c for c in claimed(framework_named("gdpr"), checked, held)}
    assert (claims["art-32.1.c"].status, claims["art-32.1.c"].said) == ("fail", None)


def test_goals_are_shown_beside_those_in_force_and_replace_them(bench, desk):
    asked = pb.SetGoalsRequest(text=GOALS)
    with bench.store.reading() as tx:
        assert in_force(tx, "goal.set", asked) is None
    reply = desk.ask("SetGoals", asked)
    assert reply.goals == 1 and desk.aim.verb == "goal.set"
    other = GOALS.replace("least = 1", "least = 2")
    with bench.store.reading() as tx:
        assert in_force(tx, "goal.set", pb.SetGoalsRequest(text=other)).text == GOALS
    desk.ask("SetGoals", pb.SetGoalsRequest(text=other))
    with bench.store.reading() as tx:
        assert goals_text(tx) == other
    (first, second) = bench.events("goals-set")
    assert first["members"]["text"] == GOALS and second["members"]["goals"] == 1


def test_a_goal_is_told_missed_once_and_met_again_once(bench, desk):
    watch = GoalWatch(bench.store)
    watch.look()
    desk.ask("SetGoals", pb.SetGoalsRequest(text=GOALS))
    watch.look()
    watch.look()
    (missed,) = bench.events("goal-missed")
    assert missed["members"] == {
        "goal": "drills",
        "fact": "drills-held",
        "target": "at least 1",
        "actual": "0",
    }
    with bench.store.writing() as tx:
        tx.record(DrillDeclared(device="camera.line-1.cam1", until_ms=9, why="d"), by="controller")
    GoalWatch(bench.store).look()
    GoalWatch(bench.store).look()
    (met,) = bench.events("goal-met")
    assert met["members"]["actual"] == "1"
    bench.clock.now += 100 * DAY_MS
    watch.look()
    assert len(bench.events("goal-missed")) == 2


def test_a_goal_whose_day_has_not_come_is_not_missed_before(bench, desk):
    day = datetime.fromtimestamp(bench.clock() / 1000, UTC).date() + timedelta(days=3)
    desk.ask(
        "SetGoals", pb.SetGoalsRequest(text=GOALS + f"by = {date(day.year, day.month, day.day)}\n")
    )
    watch = GoalWatch(bench.store)
    watch.look()
    assert not bench.events("goal-missed")
    bench.clock.now += 4 * DAY_MS
    watch.look()
    assert len(bench.events("goal-missed")) == 1


EVERY = "\n".join(
    ["version = 1"]
    + [
        f'[[goal]]\nname = "g-{n}"\nfact = "{name}"\nmost = 0\nwhy = "w"'
        for n, name in enumerate(facts())
    ]
)


def test_the_controller_measures_what_whoever_has_the_whole_record_measures(bench, desk):
    forge = bench.enrol()
    bench.attest(forge)
    with bench.store.writing() as tx:
        tx.record(RegistryBackedUp(file="f"), by="host")
    desk.ask("SetGoals", pb.SetGoalsRequest(text=EVERY))
    with bench.store.reading() as tx:
        rows = tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=10_000)
    whole = reading_of([json.loads(r.entry) for r in rows])
    part = GoalWatch(bench.store)._reading(parse_goals(EVERY))
    now = bench.clock()
    assert all_measured(View(part, now)) == all_measured(View(whole, now))
