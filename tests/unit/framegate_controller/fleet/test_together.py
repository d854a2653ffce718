"""Machines that ask at once: each is told what it would be told alone."""

from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.errors import Reason, Unavailable
from framegate_controller.fleet import attestation, together
from framegate_controller.fleet.attestation import OfferedEvidence
from framegate_controller.fleet.together import AskedChallenge, Together
from support.at_once import NAMES, STRANGER, Machines, device_of, said


@pytest.fixture
def machines(bench):
    return Machines(bench)


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


def test_a_machine_that_offers_twice_at_once_is_answered_twice(bench, machines):
    offers = [machines.offer("cam1"), machines.offer("cam1"), machines.offer("cam2")]
    assert [said(o) for o in bench.told(offers)] == ["trusted"] * 3
    assert sorted(machines.attested()) == [device_of(n) for n in ("cam1", "cam1", "cam2")]


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
