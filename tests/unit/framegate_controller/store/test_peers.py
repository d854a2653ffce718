"""Controllers that share a PostgreSQL database: what one tells another, duties, shared limits."""

import contextlib
import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import pytest

from framegate.errors import FramegateError, Reason, Refused
from framegate_controller.registry_address import StoreAt
from framegate_controller.store import postgres_peers
from framegate_controller.store.ports import Moved
from framegate_controller.store.postgres_limits import (
    PostgresSignInLimits,
    PostgresSpentSessions,
    PostgresTicketTries,
    PostgresWaiting,
)
from framegate_controller.store.running import stopped
from framegate_controller.store.shared.ceremonies import OpenCeremony, OpenFlow
from framegate_controller.store.shared.duties import Duty, DutyStore, Ears, NoPeers
from framegate_controller.store.shared.limits import ADDRESS_TRIES, PAIR_TRIES, PAIR_WINDOW_MS
from framegate_controller.timing import TICKET_TRIES, TICKET_WINDOW_S
from support.waiting import until

pytestmark = pytest.mark.slow

DUTIES = frozenset({"rollouts", "sinks"})
MISSED = object()


class Peer:
    """One controller on a database, and what it heard."""

    def __init__(self, store, name: str) -> None:
        self.store, self.name = store, name
        self.heard: Queue = Queue()
        self.peers = postgres_peers.PostgresPeers(store.engines, name, store.learn)

    def start(self) -> "Peer":
        self.peers.start(DUTIES, Ears(self.heard.put, lambda: self.heard.put(MISSED)))
        return self

    def next(self):
        return self.heard.get(timeout=30)


LEASE_S = 1.5
"""Of a controller that will be gone. All others keep their duties, however slow the machine is."""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(postgres_peers, "BEAT_S", 0.1)
    monkeypatch.setattr(postgres_peers, "LEASE_S", 60.0)
    monkeypatch.setattr(postgres_peers, "EARLY_S", 0.3)


@contextlib.contextmanager
def refused_soon(monkeypatch):
    """Where a start waits in vain; elsewhere what it waits for comes, some time."""
    with monkeypatch.context() as soon:
        soon.setattr(postgres_peers, "NAME_S", 0.5)
        yield


@pytest.fixture
def pair(new_database, opened, quick):
    address = new_database()
    made = [Peer(opened(address), f"controller-{n}") for n in (1, 2)]
    yield made
    for each in made:
        each.peers.stop()


def test_what_one_tells_every_other_hears_and_itself_too(pair):
    one, other = (p.start() for p in pair)
    one.peers.tell("first")
    other.peers.tell("second")
    assert [one.next(), one.next()] == ["first", "second"]
    assert [other.next(), other.next()] == ["first", "second"]


async def test_duties_are_one_controllers_and_the_others_once_it_gives_them_back(pair):
    one, other = (p.start() for p in pair)
    assert {d: one.peers.lease(d) is not None for d in DUTIES} == dict.fromkeys(DUTIES, True)
    assert [other.peers.lease(d) for d in DUTIES] == [None, None]
    before = one.peers.lease("sinks")
    one.peers.stop()
    await until(lambda: all(other.peers.lease(d) for d in DUTIES))
    assert other.peers.lease("sinks").token > before.token
    assert one.peers.lease("sinks") is None


async def test_a_controller_that_is_gone_is_missed_and_its_duties_are_taken_over(
    pair, postgres, monkeypatch
):
    one, other = (p.start() for p in pair)
    await until(lambda: len(other.peers._present) == 2)
    held = one.peers.lease("rollouts")
    monkeypatch.setattr(postgres_peers, "LEASE_S", LEASE_S)
    await until(lambda: one.peers._held.until_s < time.monotonic() + LEASE_S)
    one.peers._ending.set()  # its thread ends without giving anything back, as a killed one does
    one.peers.owner = "nobody"
    one.peers._thread.join(30)
    assert other.next() is MISSED
    await until(lambda: other.peers.lease("rollouts"))
    # one that was only asleep comes back, and writes nothing in the duty's name
    with pytest.raises(Moved), one.store.writing() as tx:
        tx.leases.require(held)
    with other.store.writing() as tx:
        tx.leases.require(other.peers.lease("rollouts"))


async def test_work_of_a_duty_is_fenced_at_its_transaction(pair):
    one, other = (p.start() for p in pair)
    mine, theirs = (DutyStore(p.store, p.peers, "sinks") for p in (one, other))
    with mine.writing() as tx:
        tx.settings.put("who", "one")
    with pytest.raises(Moved), theirs.writing() as tx:
        tx.settings.put("who", "other")
    stale = one.peers.lease("sinks")
    one.peers.stop()
    await until(lambda: other.peers.lease("sinks"))
    one.peers.lease = lambda duty: stale  # it does not know yet
    with pytest.raises(Moved), mine.writing() as tx:
        tx.settings.put("who", "one again")
    with other.store.reading() as tx:
        assert tx.settings.get("who") == "one"


def test_a_duty_is_not_taken_over_in_the_middle_of_its_transaction(pair):
    one, other = (p.start() for p in pair)
    mine, held = DutyStore(one.store, one.peers, "sinks"), one.peers.lease("sinks")
    for each in (one, other):  # nobody gives a sign of life, and the lease is over
        each.peers._ending.set()
        each.peers._thread.join(30)
    values = {"owner": "other", "duties": ["sinks"], "life_ms": 60_000}
    with other.store.engines.connect() as there:
        # the last beat of the other may have taken it over from the one that was ending
        ours = "UPDATE leases SET owner = %s, until_ms = 0 WHERE duty = 'sinks' RETURNING token"
        (token,) = there.execute(ours, (held.owner,)).fetchone()
        one.peers.lease = lambda duty: dataclasses.replace(held, token=token)
        with mine.writing() as tx:
            tx.settings.put("who", "one")
            assert there.execute(postgres_peers._CLAIM, values).fetchall() == []
        assert len(there.execute(postgres_peers._CLAIM, values).fetchall()) == 1
    with pytest.raises(Moved), mine.writing():
        pass


def test_what_a_worker_remembers_is_made_anew_when_the_duty_comes_back(pair):
    one, _ = (p.start() for p in pair)
    duty = Duty(one.store, one.peers, "sinks", lambda store: object())
    first = duty.worker()
    assert first is not None
    assert duty.worker() is first
    lease = one.peers.lease("sinks")
    one.peers.lease = lambda _: None
    assert duty.worker() is None
    one.peers.lease = lambda _: dataclasses.replace(lease, token=lease.token + 2)
    assert duty.worker() not in {None, first}


def test_with_one_controller_every_duty_is_its_own_and_nothing_is_fenced(bench):
    duty = Duty(bench.store, NoPeers(), "sinks", lambda store: store)
    with duty.worker().writing() as tx:
        tx.settings.put("who", "one")


def test_two_controllers_have_two_names(pair, monkeypatch):
    one, other = pair
    other.peers._name = one.peers._name
    one.start()
    with refused_soon(monkeypatch), pytest.raises(Refused) as refused:
        other.start()
    assert refused.value.reason == Reason.CONFLICT
    assert "--name" in refused.value.failures[0].hint
    one.peers.stop()
    other.start()  # and the name of one that is gone is free at once


def test_a_registry_is_not_restored_under_a_running_controller_nor_run_while_it_is(
    pair, tmp_path, monkeypatch
):
    one, _ = pair
    at = StoreAt(tmp_path, one.store.engines.at.address)
    with refused_soon(monkeypatch), stopped(at), pytest.raises(Refused, match="being restored"):
        one.start()
    one.start()
    with pytest.raises(Refused, match="no controller that runs"), stopped(at):
        pass


async def test_a_lost_connection_is_made_again_and_what_was_missed_is_said(pair, postgres):
    one, other = (p.start() for p in pair)
    postgres.sql(
        "postgres",
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE locktype = 'advisory'"
        f" AND classid = {postgres_peers.NAMES}",
    )
    assert one.next() is MISSED
    assert other.next() is MISSED

    def heard() -> bool:
        one.peers.tell("again")
        return "again" in list(other.heard.queue)

    await until(heard)
    await until(lambda: one.peers.lease("sinks") or other.peers.lease("sinks"))


SOURCE = "10.0.0.7"


def test_n138_wrong_factors_count_together_at_all_controllers(pair):
    one, other = (PostgresSignInLimits(p.store.engines) for p in pair)
    for number in range(PAIR_TRIES):
        (one, other)[number % 2].begin("anna", SOURCE, 1_000 + number)
    for limits in (one, other):
        with pytest.raises(Refused) as refused:
            limits.begin("anna", SOURCE, 2_000)
        assert refused.value.reason == Reason.LOCKED
    one.begin("anna", "10.0.1.7", 2_000)  # elsewhere nothing is held up
    one.begin("anna", SOURCE, 1_000 + PAIR_WINDOW_MS)  # and after a while the oldest are forgotten


def test_n138_tries_at_once_at_several_controllers_are_not_more_than_are_left(pair):
    limits = [PostgresSignInLimits(p.store.engines) for p in pair]

    def tried(number: int) -> bool:
        try:
            limits[number % 2].begin("anna", SOURCE, 5_000)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(tried, range(24))) == PAIR_TRIES


def test_a_right_factor_counts_nowhere_and_a_session_forgets_the_pairs_failures(pair):
    one, other = (PostgresSignInLimits(p.store.engines) for p in pair)
    for _ in range(ADDRESS_TRIES + 5):
        other.right(one.begin("anna", SOURCE, 1_000))
    for _ in range(PAIR_TRIES - 1):
        one.begin("anna", SOURCE, 2_000)
    other.good(other.begin("anna", SOURCE, 3_000))
    other.begin("anna", SOURCE, 3_000)


def test_tries_that_a_clock_counted_that_was_ahead_hold_nobody_up_once_it_is_right(pair):
    tickets, limits = (
        of(pair[0].store.engines) for of in (PostgresTicketTries, PostgresSignInLimits)
    )
    ahead_ms = 3_600_000
    for _ in range(TICKET_TRIES):
        tickets.begin(SOURCE, ahead_ms)
    for _ in range(PAIR_TRIES):
        limits.begin("anna", SOURCE, ahead_ms)
    for still in (
        lambda: tickets.begin(SOURCE, 1_000),
        lambda: limits.begin("anna", SOURCE, 1_000),
    ):
        with pytest.raises(Refused):
            still()
    tickets.begin(SOURCE, 1_001 + int(TICKET_WINDOW_S * 1000))
    limits.begin("anna", SOURCE, 1_001 + PAIR_WINDOW_MS)


def test_n31_wrong_tickets_count_together_at_all_controllers(pair):
    one, other = (PostgresTicketTries(p.store.engines) for p in pair)
    for number in range(TICKET_TRIES):
        (one, other)[number % 2].begin(SOURCE, 1_000)
    with pytest.raises(Refused) as refused:
        other.begin(SOURCE, 1_500)
    assert refused.value.reason == Reason.TOO_MANY_TRIES
    one.right(SOURCE, 1_000)
    other.begin(SOURCE, 1_500)


def test_n23_an_answer_at_one_controller_is_the_only_one_at_all(pair):
    one, other = (PostgresSpentSessions(p.store.engines) for p in pair)
    assert not one.taken(b"s" * 16)
    one.take(b"s" * 16, 60_000, 1_000)
    assert one.taken(b"s" * 16)
    for spent in (one, other):
        with pytest.raises(Refused) as refused:
            spent.take(b"s" * 16, 60_000, 1_000)
        assert refused.value.reason == Reason.SESSION_UNKNOWN


def test_a_sign_in_that_was_begun_at_one_controller_is_answered_at_another_once(pair):
    one, other = (PostgresWaiting(p.store.engines, OpenCeremony, 3) for p in pair)
    begun = OpenCeremony("anna", "get", {"challenge": "abc"}, 9_000)
    one.keep(b"name", begun)
    assert other.get(b"name") == begun
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda n: (one, other)[n % 2].take(b"name"), range(8)))
    assert [t for t in taken if t is not None] == [begun]
    for number in range(5):
        one.keep(bytes([number]), dataclasses.replace(begun, expires_ms=10_000 + number))
    kept = [number for number in range(5) if one.get(bytes([number])) is not None]
    assert kept == [2, 3, 4]  # a flood pushes out the oldest
    flows = PostgresWaiting(pair[0].store.engines, OpenFlow, 3)
    assert flows.get(b"name") is None
    flow = OpenFlow(kind="code", expires_ms=5, nonce="n")
    flows.keep(b"name", flow)
    assert flows.get(b"name") == flow


def test_json_of_the_database_is_read_strictly_enough_to_fail(pair):
    waiting = PostgresWaiting(pair[0].store.engines, OpenFlow, 3)
    with pair[0].store.engines.aside() as c:
        c.exec_driver_sql(
            "INSERT INTO waiting VALUES ('OpenFlow', %s, %s, 5)", (b"n", json.dumps({"evil": 1}))
        )
    with pytest.raises((TypeError, FramegateError)):
        waiting.get(b"n")


def test_a_beat_follows_the_databases_clock(pair):
    one = pair[0].start()
    assert abs(one.store.clock() - time.time_ns() // 1_000_000) < 5_000
