"""The desk in front of every verb: looks, acts, dry runs, factors, approvals."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyotp
import pytest
from cryptography.x509 import load_pem_x509_certificates

from framegate.access.approvals import Content
from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose, from_ms
from framegate.registry.zone import KeptDecision
from framegate_controller.ca.peer import verify_peer
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.authority import Aim, Authority
from framegate_controller.people.desk import PeopleDesk
from framegate_controller.people.operators import parse_roles
from framegate_controller.people.requests import Word, decide
from framegate_controller.people.signin import SignIn
from framegate_controller.store.shared.ceremonies import MAX_CEREMONIES, InMemoryWaiting
from framegate_controller.store.shared.limits import PAIR_TRIES, InMemorySignInLimits
from framegate_controller.store.shared.looks import COUNT_MS, QUIET_MS, InMemoryLooks
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_controller.verbs.access import ListAccess, RequestRole
from framegate_controller.verbs.desk import Asking, Desk
from framegate_controller.verbs.people import Change, ChangeOperator, DisableOperator, ListOperators
from framegate_controller.verbs.sessions import ProveFactor, SignOut, WhoAmI
from framegate_controller.verbs.verb import Outcome, Verb
from framegate_controller.verbs.zones import FreezeZone, SetZone
from framegate_simulators.fixtures.access import add_person, signed_in
from support.refusals import refused
from support.security_key import SoftSecurityKey

FREEZE = FreezeZone("line-1", frozen=True, why="audit")


class Counter:
    """A desk with people at it."""

    def __init__(self, bench) -> None:
        self.bench, self.store, self.clock = bench, bench.store, bench.clock
        self.limits = InMemorySignInLimits()
        policies, looks = InMemoryPolicies(), InMemoryLooks()
        self.people = PeopleDesk(
            authority=Authority(bench.fleet, policies, looks),
            sign_in=SignIn(self.store, bench.fleet, self.limits, InMemoryWaiting(MAX_CEREMONIES)),
            policies=policies,
            limits=self.limits,
        )
        self.desk = Desk(self.store, bench.fleet, self.people, None)
        self.secret = add_person(self.store, bench.keys, "anna", "security", "auditor")
        self.pair = signed_in(self.store, bench.keys, "anna")

    def ask(self, verb, *, dry: bool = False, pair=None):
        certificate = load_pem_x509_certificates((pair or self.pair)[1])[0]
        peer = verify_peer(
            certificate, "ipv4:192.0.2.7", self.bench.keys, from_ms(self.clock()), Purpose.OPERATOR
        )
        asking = Asking(
            peer=peer,
            content=lambda: Content("Test", b"", "nothing"),
            reason="because",
            dry_run=dry,
        )
        return self.desk.perform(verb, asking)

    def noted(self, event: str = "allowed") -> list[str]:
        return [str(e.get("detail")) for e in self.bench.events(event)]

    def decided(self) -> list[KeptDecision]:
        with self.store.reading() as tx:
            return tx.policies.decisions(0)

    def code(self) -> str:
        return pyotp.TOTP(self.secret).at(self.clock() // 1000)


@pytest.fixture
def counter(bench, drawn_secrets):
    return Counter(bench)


@pytest.mark.parametrize("how", ["stands", "ended", "over", "barred", "another's"])
def test_n81_whose_session_does_not_stand_is_nobody(counter, how):
    """Whatever the certificate says, which lives for a shift: of the registry, at every call."""
    with counter.store.writing() as tx:
        (session,) = tx.people.sessions(tx.now_ms)
        if how == "ended":
            tx.people.put_session(replace(session, ended_ms=tx.now_ms))
        if how == "over":
            tx.people.put_session(replace(session, expires_ms=tx.now_ms))
        if how == "barred":
            tx.people.put(replace(tx.people.find("anna"), enabled=False))
    if how == "another's":
        add_person(counter.store, counter.bench.keys, "bert", "admin")
        with counter.store.writing() as tx:
            tx.people.put_session(replace(session, operator="bert"))
    if how == "stands":
        assert counter.ask(WhoAmI())
    else:
        assert refused(lambda: counter.ask(WhoAmI())) == Reason.SIGNED_OUT


def test_a_look_is_one_entry_an_hour_and_its_decision_is_counted(counter):
    for _ in range(5):
        assert counter.ask(ListOperators()).value.quorum == 1
    assert counter.noted() == ["operator.list"] and [d.count for d in counter.decided()] == [1]
    counter.clock.pass_s(COUNT_MS / 1000)
    counter.ask(ListOperators())
    assert counter.noted() == ["operator.list"] and [d.count for d in counter.decided()] == [6]
    counter.clock.pass_s(QUIET_MS / 1000)
    counter.ask(ListOperators())
    assert counter.noted() == ["operator.list"] * 2 and [d.count for d in counter.decided()] == [7]


def test_a_quiet_look_waits_for_no_writer(counter):
    counter.ask(WhoAmI())
    writing, go = threading.Event(), threading.Event()

    def write() -> None:
        with counter.store.writing() as tx:
            tx.settings.put("x", "y")
            writing.set()
            go.wait(30)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert writing.wait(5)
        assert counter.ask(WhoAmI()).value.caller.name == "anna"
        assert writer.is_alive()
    finally:
        go.set()
        writer.join()


def test_a_look_that_could_not_be_written_down_is_due_again_and_was_not_answered(
    counter, monkeypatch
):
    writing, away = counter.store.writing, OSError("no disk")

    def fail():
        raise away

    monkeypatch.setattr(counter.store, "writing", fail)
    with pytest.raises(OSError, match="no disk"):
        counter.ask(ListOperators())
    monkeypatch.setattr(counter.store, "writing", writing)
    counter.ask(ListOperators())
    assert counter.noted() == ["operator.list"] and [d.count for d in counter.decided()] == [1]


def test_a_dry_look_leaves_nothing_and_the_next_one_is_noted(counter):
    counter.ask(ListOperators(), dry=True)
    counter.ask(ListAccess(past=False), dry=True)
    assert counter.noted() == [] == counter.decided()
    counter.ask(ListOperators())
    assert counter.noted() == ["operator.list"]


def test_whoever_looks_and_may_not_is_recorded(counter):
    pair = signed_in(counter.store, counter.bench.keys, "vera", "viewer")
    for dry in (False, True):
        assert (
            refused(lambda dry=dry: counter.ask(ListOperators(), pair=pair, dry=dry))
            == Reason.POLICY_DENIED
        )
    assert counter.noted("denied") == [f"operator.list : {Reason.POLICY_DENIED}"] * 2
    assert [(d.allow, d.count) for d in counter.decided()] == [(False, 2)]


def test_an_act_is_recorded_by_itself_and_told(counter):
    done = counter.ask(FREEZE)
    assert (
        done.tell == (AccessChanged(),)
        and counter.noted("zone-frozen") == ["line-1: audit"]
        and counter.noted() == []
    )
    entry = counter.bench.events("zone-frozen")[0]
    assert (entry["actor"], entry["reason"], entry["policies"], entry["source"]) == (
        "operator.anna",
        "because",
        ["security"],
        "192.0.2.7",
    )


def test_a_dry_act_leaves_nothing_and_tells_nobody(counter):
    before = counter.bench.events()
    assert counter.ask(FREEZE, dry=True).tell == ()
    with counter.store.reading() as tx:
        assert not tx.zones.get("line-1").frozen
    assert counter.bench.events() == before


def test_an_act_spends_the_approval_that_it_took(counter):
    with counter.store.writing() as tx:
        tx.settings.put("quorum", "2")
    add_person(counter.store, counter.bench.keys, "sven", "security")
    verb = SetZone("line-1", grace=True, remark=None)
    with pytest.raises(FramegateError) as caught:
        counter.ask(verb)
    failure = caught.value.failures[0]
    assert (failure.reason, failure.expected) == (
        Reason.APPROVAL_NEEDED,
        "the approval of 1 other for zone.set",
    )
    identifier = failure.hint.split("approve ")[1].split(";")[0]
    with counter.store.writing() as tx:
        asked = tx.requests.find(identifier)
        decide(
            tx,
            asked,
            Word(approver="sven", approve=True, remark="", content_sha256=asked.content_sha256),
            counter.people.authority.policy(tx),
        )
    assert counter.ask(verb, dry=True).value.rules.grace  # trying does not spend it
    assert counter.ask(verb).value.rules.grace
    assert counter.bench.events("zone-set")[0]["approved_by"] == ["sven"]
    assert refused(lambda: counter.ask(verb)) == Reason.APPROVAL_NEEDED


def test_an_approval_is_asked_for_once_and_not_for_a_dry_run(counter):
    with counter.store.writing() as tx:
        tx.settings.put("quorum", "2")
    verb = SetZone("line-1", grace=True, remark=None)
    assert refused(lambda: counter.ask(verb, dry=True)) == Reason.APPROVAL_NEEDED
    assert counter.noted("access-asked") == []
    for _ in range(3):
        assert refused(lambda: counter.ask(verb)) == Reason.APPROVAL_NEEDED
    assert len(counter.noted("access-asked")) == 1


def test_verbs_about_oneself_that_write_do(counter):
    asked = counter.ask(RequestRole("engineer", "line-1", 5, "new board")).value
    assert asked.request.state == "approved" and counter.noted("role-granted")
    assert [str(e.scoped) for e in counter.ask(WhoAmI()).value.elevations] == ["engineer@line-1"]
    assert counter.ask(SignOut()).value == "anna" and counter.noted("signed-out")
    assert refused(lambda: counter.ask(WhoAmI())) == Reason.SIGNED_OUT


@pytest.mark.parametrize("dry", [False, True])
def test_a_wrong_factor_is_recorded_and_counted_whether_or_not_it_was_only_tried(counter, dry):
    """A dry run would otherwise be a way to guess for nothing."""
    for _ in range(PAIR_TRIES):
        assert (
            refused(lambda: counter.ask(ProveFactor("000000", b"", ""), dry=dry)) == Reason.SIGN_IN
        )
    assert (
        refused(lambda: counter.ask(ProveFactor(counter.code(), b"", ""), dry=dry)) == Reason.LOCKED
    )
    assert counter.noted("factor-failed") == ["from 192.0.2.7"] * PAIR_TRIES


def test_n140_codes_that_are_shown_at_once_in_a_session_are_as_many_tries(counter):
    """Whoever has a live session's key would otherwise guess its second factor in parallel."""
    together = threading.Barrier(20)

    def guess(number: int) -> Reason:
        together.wait(30)
        return refused(lambda: counter.ask(ProveFactor(f"{number:06d}", b"", "")))

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(guess, range(20)))
    assert answers.count(Reason.SIGN_IN) == PAIR_TRIES
    assert answers.count(Reason.LOCKED) == 20 - PAIR_TRIES
    assert counter.noted("factor-failed") == ["from 192.0.2.7"] * PAIR_TRIES


def test_n140_right_factors_leave_no_count(counter):
    for _ in range(PAIR_TRIES + 2):
        counter.ask(ProveFactor(counter.code(), b"", ""))
        counter.clock.pass_s(30)


def test_n139_a_copied_key_shows_at_a_fresh_factor_too(counter):
    keys = counter.people.sign_in.security_keys
    key = SoftSecurityKey()
    with counter.store.writing() as tx:
        challenge = keys.register(tx, "anna")
        keys.registered(tx, "anna", challenge.state, key.create(challenge.options), "blue key")

    def shown():
        challenge = counter.ask(ProveFactor("", b"", "")).value.challenge
        return counter.ask(ProveFactor("", challenge.state, key.get(challenge.options)))

    shown()
    key.device.counter = 0
    assert refused(shown) == Reason.SIGN_IN
    assert counter.noted("security-key-suspected") == ["blue key: counter 0, 2 was seen before"]


def test_a_fresh_factor_counts_from_now_and_each_code_once(counter):
    add_person(counter.store, counter.bench.keys, "vera", "viewer")
    bar = DisableOperator("vera", "gone")
    with counter.store.reading() as tx:
        (session,) = tx.people.sessions(tx.now_ms)
    # it began by the host's clock, which is ahead of the test's by what went by since
    counter.clock.pass_s(910 + (session.factor_ms - counter.clock()) / 1000)
    assert refused(lambda: counter.ask(bar)) == Reason.FACTOR_NEEDED
    code = counter.code()
    assert counter.ask(ProveFactor(code, b"", "")).value.factor_ms == counter.clock()
    assert refused(lambda: counter.ask(ProveFactor(code, b"", ""))) == Reason.SIGN_IN
    assert not counter.ask(bar).value.operator.enabled
    assert counter.noted("factor-shown") == ["second factor from 192.0.2.7"]
    assert counter.noted("operator-disabled") == ["vera, 0 sessions ended: gone"]


def test_what_changes_of_a_person_is_told_with_what_it_was(counter):
    add_person(counter.store, counter.bench.keys, "vera", "viewer")
    add_person(counter.store, counter.bench.keys, "adam", "admin")
    adam = signed_in(counter.store, counter.bench.keys, "adam")
    for change, roles in ((Change.ROLES, ("engineer@line-1",)), (Change.ENABLE, ())):
        counter.ask(ChangeOperator("vera", change, tuple(parse_roles(roles))), pair=adam)
    assert counter.noted("operator-roles") == ["vera: viewer -> engineer@line-1"]
    assert counter.noted("operator-enabled") == ["vera"]


def test_an_act_that_fails_leaves_nothing_of_itself(counter):
    class Half(Verb[None]):
        def aim(self, tx):
            return Aim("zone.freeze", "line-1", "line-1")

        def run(self, tx, call) -> Outcome[None]:
            FREEZE.run(tx, call)
            raise FramegateError.of(Reason.CONFLICT, "a", "b")

    before = counter.bench.events()
    assert refused(lambda: counter.ask(Half())) == Reason.CONFLICT
    assert counter.bench.events() == before and counter.decided() == []
