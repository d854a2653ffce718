"""Machines that ask at once: each is told what it would be told alone."""

from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.evidence.challenge import open_state
from framegate.machines.lifecycle import Event as Edge
from framegate.wire import sha256
from framegate_controller.fleet import attestation, together
from framegate_controller.fleet.attestation import OfferedEvidence, Verifier
from framegate_controller.fleet.together import Answered, AskedChallenge, Together
from framegate_simulators.fixtures.controller import without_quota

NAMES = ("cam1", "cam2", "cam3")
STRANGER = sha256(b"nobody's key")


def device_of(name):
    return f"camera.line-1.{name}"


class Machines:
    """Three cameras that are enrolled."""

    def __init__(self, bench) -> None:
        self.bench = bench
        self.forges = {name: bench.enrol(name) for name in NAMES}

    def key(self, name):
        return sha256(self.forges[name].tls.public.spki())

    def hello(self, name):
        return AskedChallenge(self.key(name), self.forges[name].attest_hello(known_log=True))

    def offer(self, name):
        """Evidence that answers a challenge of its own."""
        asked = self.hello(name)
        (challenge,) = self.bench.told([asked])
        _, evidence = self.forges[name].answer(
            self.bench.fleet.digest, asked.hello, challenge.challenge, join=False
        )
        return OfferedEvidence(asked.key_sha256, challenge.state, evidence)

    def attested(self):
        """Devices of the record's attestations on the fleet port, in their order."""
        return [e["device"] for e in self.bench.events("attested")][len(NAMES) :]


@pytest.fixture
def machines(bench):
    machines = Machines(bench)
    state = without_quota(bench.fleet.timing)  # some attest dozens of times
    bench.verifier = Verifier(bench.store, bench.fleet, state=state)
    return machines


def said(outcome):
    """In short: the state it is in, or why it was refused."""
    if isinstance(outcome, Answered):
        return str(outcome.answer.state)
    return outcome.reason if isinstance(outcome, FramegateError) else type(outcome).__name__


class Counted:
    """How many transactions a store had, and what becomes of them."""

    def __init__(self, store, monkeypatch) -> None:
        self.reads = self.writes = 0
        self.fail_read = self.fail_write = None
        reading, writing = store.reading, store.writing

        @contextmanager
        def counted_reading():
            self.reads += 1
            if self.fail_read is not None:
                raise self.fail_read
            with reading() as tx:
                yield tx

        @contextmanager
        def counted_writing(**given):
            self.writes += 1
            with writing(**given) as tx:
                yield tx
                if self.fail_write is not None:
                    raise self.fail_write

        monkeypatch.setattr(store, "reading", counted_reading)
        monkeypatch.setattr(store, "writing", counted_writing)


@pytest.fixture
def counted(bench, machines, monkeypatch):
    def now():
        return Counted(bench.store, monkeypatch)

    return now


def test_one_snapshot_and_one_transaction_for_all(bench, machines, counted):
    offers = [machines.offer(name) for name in NAMES]
    before, count = bench.device().version, counted()
    outcomes = bench.told([*offers, machines.hello("cam1")])
    assert [said(o) for o in outcomes[:3]] == ["trusted"] * 3 and outcomes[3].challenge
    assert (count.reads, count.writes) == (1, 1)
    assert machines.attested() == [device_of(name) for name in NAMES]
    assert [o.before.id for o in outcomes[:3]] == [device_of(name) for name in NAMES]
    assert outcomes[0].before.version == before < bench.device().version
    assert len({o.answer.certificate.serial_number for o in outcomes[:3]}) == 3


def test_one_revision_is_raised_for_all_of_them(bench, machines):
    offers = [machines.offer(name) for name in NAMES]
    with bench.store.reading() as tx:
        before = tx.revision()
    bench.told(offers)
    with bench.store.reading() as tx:
        assert tx.revision() == before + 1


def test_challenges_and_refusals_are_told_before_anything_is_written(bench, machines):
    offer, spent = machines.offer("cam1"), machines.offer("cam2")
    bench.told([spent])
    told = Together(bench.verifier).answer([offer, spent, machines.hello("cam3")])
    first = next(told)
    assert {place: said(o) for place, o in first.items()} == {
        1: Reason.SESSION_UNKNOWN,
        2: "SignedChallenge",
    }
    assert machines.attested() == [device_of("cam2")]
    assert {place: said(o) for place, o in next(told).items()} == {0: "trusted"}


WRONG = {
    "a stranger's challenge": (lambda m: AskedChallenge(STRANGER, b""), Reason.CERTIFICATE),
    "no Hello": (lambda m: AskedChallenge(m.key("cam1"), b"?"), Reason.MALFORMED),
    "a stranger's evidence": (
        lambda m: OfferedEvidence(STRANGER, m.offer("cam1").state, b"?"),
        Reason.CERTIFICATE,
    ),
    "a made up challenge": (
        lambda m: OfferedEvidence(m.key("cam1"), b"made up", b"?"),
        Reason.SESSION_UNKNOWN,
    ),
    "another's challenge": (
        lambda m: OfferedEvidence(m.key("cam1"), m.offer("cam2").state, b"?"),
        Reason.SESSION_UNKNOWN,
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_who_is_refused_takes_nobody_along(bench, machines, wrong):
    make, reason = WRONG[wrong]
    offers = [machines.offer("cam1"), make(machines), machines.offer("cam3")]
    assert [said(o) for o in bench.told(offers)] == ["trusted", reason, "trusted"]
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_evidence_that_is_none_moves_nobody_and_takes_nobody_along(bench, machines):
    bad = machines.offer("cam2")
    bad = OfferedEvidence(bad.key_sha256, bad.state, b"no evidence")
    told = bench.told([machines.offer("cam1"), bad, machines.offer("cam3")])
    assert [said(o) for o in told] == ["trusted"] * 3
    assert [bool(o.answer.failures) for o in told] == [False, True, False]
    assert told[1].answer.certificate is None
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_who_moved_meanwhile_is_looked_at_again_and_the_others_are_not_moved(bench, machines):
    told = Together(bench.verifier).answer([machines.offer(name) for name in NAMES])
    assert next(told) == {}
    bench.move(Edge.QUARANTINE, device_of("cam2"))
    outcomes = next(told)
    assert [said(outcomes[place]) for place in range(3)] == ["trusted", "quarantined", "trusted"]
    assert outcomes[1].answer.certificate is None
    assert bench.state(device_of("cam2")) == "quarantined"
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_who_retired_meanwhile_is_refused_and_the_others_are_answered(bench, machines):
    told = Together(bench.verifier).answer([machines.offer(name) for name in NAMES])
    next(told)
    bench.move(Edge.RETIRE, device_of("cam1"))
    outcomes = next(told)
    assert isinstance(outcomes[0], FramegateError)
    assert [said(outcomes[place]) for place in (1, 2)] == ["trusted", "trusted"]


def test_a_machine_that_offers_twice_at_once_is_answered_twice(bench, machines):
    offers = [machines.offer("cam1"), machines.offer("cam1"), machines.offer("cam2")]
    assert [said(o) for o in bench.told(offers)] == ["trusted"] * 3
    assert sorted(machines.attested()) == [device_of(n) for n in ("cam1", "cam1", "cam2")]


def test_n07_one_challenge_that_is_answered_twice_at_once_counts_once(bench, machines):
    offer = machines.offer("cam1")
    outcomes = bench.told([offer, offer])
    assert [said(o) for o in outcomes] == ["trusted", Reason.SESSION_UNKNOWN]
    assert machines.attested() == [device_of("cam1")]


def test_n07_a_challenge_that_another_controller_was_answered_counts_there_alone(bench, machines):
    offers = [machines.offer("cam1"), machines.offer("cam2")]
    told = Together(bench.verifier).answer(offers)
    next(told)
    key = bench.verifier._challenges._key
    session = open_state(key, offers[1].state, bench.clock()).session
    with bench.store.writing() as tx:
        tx.challenges.spend(session, bench.clock() + 60_000)
    outcomes = next(told)
    assert [said(outcomes[place]) for place in (0, 1)] == ["trusted", Reason.SESSION_UNKNOWN]
    assert machines.attested() == [device_of("cam1")]


AWAY = Unavailable.of(Reason.UNAVAILABLE, "a database", "none")


def test_where_the_store_is_away_at_a_look_all_are_told_and_it_is_asked_once(
    bench, machines, counted
):
    offers = [machines.offer(name) for name in NAMES]
    count = counted()
    count.fail_read = AWAY
    assert [said(o) for o in bench.told(offers)] == [Reason.UNAVAILABLE] * 3
    assert count.reads == 1 and count.writes == 0
    count.fail_read = None
    assert [said(o) for o in bench.told(offers)] == ["trusted"] * 3, "no challenge was spent"


def test_where_the_store_is_away_at_the_end_all_are_told_and_nothing_is_tried_again(
    bench, machines, counted
):
    offers = [machines.offer(name) for name in NAMES]
    versions = [bench.device(device_of(name)).version for name in NAMES]
    count = counted()
    count.fail_write = AWAY
    assert [said(o) for o in bench.told(offers)] == [Reason.UNAVAILABLE] * 3
    assert count.writes == 1, "it may stand: a second time would be refused as spent"
    assert [bench.device(device_of(name)).version for name in NAMES] == versions
    assert machines.attested() == []


def test_a_fault_is_told_to_whom_it_met(bench, machines, monkeypatch):
    offers = [machines.offer(name) for name in NAMES]
    look = bench.verifier._looks.of_machine

    def of_machine(tx, device, opened, evidence):
        if device.name == "cam2":
            raise KeyError("a fault of ours")
        return look(tx, device, opened, evidence)

    monkeypatch.setattr(bench.verifier._looks, "of_machine", of_machine)
    assert [said(o) for o in bench.told(offers)] == ["trusted", "KeyError", "trusted"]
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_a_fault_in_writing_is_told_to_whom_it_met(bench, machines, monkeypatch):
    commit = together.commit

    def faulty(tx, opened, case, weighed):
        commit(tx, opened, case, weighed)
        if case.device.name == "cam2":
            raise KeyError("a fault of ours")

    for module in (attestation, together):
        monkeypatch.setattr(module, "commit", faulty)
    outcomes = bench.told([machines.offer(name) for name in NAMES])
    assert [said(o) for o in outcomes] == ["trusted", "KeyError", "trusted"]
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def asking(machines, name, kind):
    """What a machine asks, one way or another."""
    if kind == "challenge":
        return machines.hello(name)
    if kind == "stranger":
        return AskedChallenge(STRANGER, b"")
    if kind == "made up":
        return OfferedEvidence(machines.key(name), b"made up", b"?")
    offer = machines.offer(name)
    if kind == "no evidence":
        return OfferedEvidence(offer.key_sha256, offer.state, b"no evidence")
    return offer


KINDS = ("challenge", "evidence", "stranger", "made up", "no evidence")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(KINDS)), min_size=1, max_size=6))
def test_each_is_told_what_it_would_be_told_alone(bench, machines, asked):
    at_once = bench.told([asking(machines, *one) for one in asked])
    alone = [bench.told([asking(machines, *one)])[0] for one in asked]
    assert list(map(said, at_once)) == list(map(said, alone))
