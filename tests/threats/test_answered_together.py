"""N248: a machine whose attestation does not go takes nobody along of those that are answered
together with it; N07: a challenge that is answered twice at once.
"""

from contextlib import contextmanager

import pytest

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.evidence.challenge import open_state
from framegate.machines.lifecycle import Event as Edge
from framegate.record.fleet_events import ZoneThawed
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.context import Fleet
from framegate_controller.fleet import attestation, together
from framegate_controller.fleet.attestation import OfferedEvidence
from framegate_controller.fleet.together import AskedChallenge, Together
from framegate_controller.timing import Timing
from support.at_once import NAMES, STRANGER, Machines, device_of, said
from support.bench import Bench
from support.clock import Clock


@pytest.fixture
def machines(bench):
    return Machines(bench)


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
def test_n248_who_is_refused_takes_nobody_along(bench, machines, wrong):
    make, reason = WRONG[wrong]
    offers = [machines.offer("cam1"), make(machines), machines.offer("cam3")]
    assert [said(o) for o in bench.told(offers)] == ["trusted", reason, "trusted"]
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_n248_evidence_that_is_none_moves_nobody_and_takes_nobody_along(bench, machines):
    bad = machines.offer("cam2")
    bad = OfferedEvidence(bad.key_sha256, bad.state, b"no evidence")
    told = bench.told([machines.offer("cam1"), bad, machines.offer("cam3")])
    assert [said(o) for o in told] == ["trusted"] * 3
    assert [bool(o.answer.failures) for o in told] == [False, True, False]
    assert told[1].answer.certificate is None
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_n248_who_moved_meanwhile_is_looked_at_again_and_the_others_are_not_moved(bench, machines):
    told = Together(bench.verifier).answer([machines.offer(name) for name in NAMES])
    assert next(told) == {}
    bench.move(Edge.QUARANTINE, device_of("cam2"))
    outcomes = next(told)
    assert [said(outcomes[place]) for place in range(3)] == ["trusted", "quarantined", "trusted"]
    assert outcomes[1].answer.certificate is None
    assert bench.state(device_of("cam2")) == "quarantined"
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


def test_n248_who_retired_meanwhile_is_refused_and_the_others_are_answered(bench, machines):
    told = Together(bench.verifier).answer([machines.offer(name) for name in NAMES])
    next(told)
    bench.move(Edge.RETIRE, device_of("cam1"))
    outcomes = next(told)
    assert isinstance(outcomes[0], FramegateError)
    assert [said(outcomes[place]) for place in (1, 2)] == ["trusted", "trusted"]


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


class Panic(BaseException):
    """What a library of Rust raises that panics over bytes: pyo3's is no Exception either."""


AWAY = Unavailable.of(Reason.UNAVAILABLE, "a database", "none")
FAULTS = [Panic(), KeyError("ours"), StopIteration(), SystemExit(1), MemoryError()]


@pytest.mark.parametrize("fault", FAULTS)
def test_n248_evidence_over_which_a_library_panics_takes_nobody_along(
    bench, machines, monkeypatch, fault
):
    offers, look = [machines.offer(name) for name in NAMES], bench.verifier._looks.of_machine

    def of_machine(tx, device, opened, evidence):
        if device.name == "cam2":
            raise fault
        return look(tx, device, opened, evidence)

    monkeypatch.setattr(bench.verifier._looks, "of_machine", of_machine)
    told = bench.told([*offers, machines.hello("cam2")])
    assert told[1] is fault
    assert [said(told[n]) for n in (0, 2, 3)] == ["trusted", "trusted", "SignedChallenge"]
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


@pytest.mark.parametrize("fault", FAULTS)
def test_n248_whom_such_a_fault_meets_as_it_is_written_takes_nobody_along(
    bench, machines, monkeypatch, fault
):
    commit = together.commit

    def faulty(tx, opened, case, weighed):
        commit(tx, opened, case, weighed)
        if case.device.name == "cam2":
            raise fault

    for module in (attestation, together):
        monkeypatch.setattr(module, "commit", faulty)
    told = bench.told([machines.offer(name) for name in NAMES])
    assert told[1] is fault or told[1].__cause__ is fault
    assert [said(told[n]) for n in (0, 2)] == ["trusted", "trusted"]
    assert machines.attested() == [device_of("cam1"), device_of("cam3")]


@pytest.mark.parametrize("fault", [*FAULTS, AWAY])
def test_n248_where_there_is_no_snapshot_all_are_told_so_and_none_is_asked_for_without_end(
    bench, machines, monkeypatch, fault
):
    asked, begun = [machines.offer("cam1"), machines.hello("cam2"), machines.hello("cam3")], []

    @contextmanager
    def reading():
        begun.append(1)
        assert len(begun) < 10, "it is asked for again and again"
        raise fault
        yield

    monkeypatch.setattr(bench.store, "reading", reading)
    told = bench.told(asked)
    assert len(set(map(id, told))) == len(begun) == 1


def test_n248_a_store_that_goes_away_between_is_not_waited_for_once_for_each(
    bench, machines, monkeypatch
):
    offers, reading, waited = [machines.offer(name) for name in NAMES], bench.store.reading, []

    def away(*_asked):
        waited.append(1)
        raise AWAY

    @contextmanager
    def once():
        if waited:
            away()
        with reading() as tx:
            yield tx

    monkeypatch.setattr(bench.verifier._devices, "take", away)  # counts shares beside the snapshot
    monkeypatch.setattr(bench.store, "reading", once)
    assert [said(o) for o in bench.told(offers)] == [Reason.UNAVAILABLE] * 3
    assert len(waited) == 2, "its first one's share, and a snapshot for all the others"


def test_n248_nor_where_each_is_written_by_itself(bench, machines, monkeypatch):
    told = Together(bench.verifier).answer([machines.offer(name) for name in NAMES])
    next(told)
    bench.move(Edge.QUARANTINE, device_of("cam1"))
    settle, waited = bench.verifier.settle_offered, []

    def away(looked):
        if looked.case.device.name == "cam1":
            return settle(looked)
        waited.append(1)
        raise AWAY

    monkeypatch.setattr(bench.verifier, "settle_offered", away)
    outcomes = next(told)
    assert [said(outcomes[n]) for n in range(3)] == ["quarantined", *[Reason.UNAVAILABLE] * 2]
    assert len(waited) == 1


@pytest.mark.slow
def test_n248_challenges_that_another_controller_was_answered_leave_a_controller_that_writes(
    founded_on_postgres, opened, keys, maker
):
    """Its connections to a database are good again after what was undone, by whomever it was asked:
    the record, to which another one wrote, is then read by SQLAlchemy.
    """
    clock = Clock()
    fleet = Fleet(ring=FolderKeyRing(keys), timing=Timing(), clock=clock, controller="controller-1")
    bench = Bench(founded_on_postgres(clock), fleet, maker)
    machines, other = Machines(bench), opened(bench.store.engines.at.address, clock)
    key = bench.verifier._challenges._key
    for _ in range(3):
        offers = [machines.offer(name) for name in NAMES]
        told = Together(bench.verifier).answer(offers)
        next(told)
        session = open_state(key, offers[2].state, bench.clock()).session
        with other.writing() as tx:
            tx.challenges.spend(session, bench.clock() + 60_000)
            tx.record(ZoneThawed(zone="line-1", why="it is over"))
        outcomes = next(told)
        assert [said(outcomes[n]) for n in range(3)] == ["trusted"] * 2 + [Reason.SESSION_UNKNOWN]
    bench.move(Edge.QUARANTINE, device_of("cam1"))
    assert bench.state(device_of("cam1")) == "quarantined"
    bench.store.close()
