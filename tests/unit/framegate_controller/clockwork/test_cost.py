"""What a controller does by the clock, and what every call of a machine asks the store, costs no
more in a large fleet than in a small one.
"""

import contextlib
import shutil
import sqlite3

import pytest
from sqlalchemy import event

from framegate.machines.lifecycle import State
from framegate.record.machine_events import Attested, EvidenceAsked
from framegate_controller.clockwork.run import Duties, clockwork_of
from framegate_controller.events.bus import InMemoryBus
from framegate_controller.record.counts import EventCounts
from framegate_controller.record.reports import ReportDesk
from framegate_controller.record.tail import RecordTail
from framegate_controller.rpc.known import KnownAtPort
from framegate_controller.store.database import open_registry
from framegate_controller.store.engines import SqliteEngines
from framegate_controller.store.shared.duties import NoPeers
from framegate_controller.store.shared.failures import InMemoryFailures

SMALL, LARGE = 100, 10_000
EACH = 10
"""Instructions of SQLite's virtual machine between two looks at its progress."""
MORE = 1.5
"""Times as many for a hundred times the fleet: trees are deeper, and no row more is read."""
A_FEW = 2_000
"""Instructions that a store of any size may take more: less than one a machine."""
COPIED = {
    "devices": ("id", "name", "ek_sha256", "ak_name", "tls_spki_sha256"),
    "results": ("id", "device"),
    "evidence": ("id", "device"),
    "tickets": ("code_sha256", "device"),
}
"""Tables that grow with a fleet, and which of their columns tell rows apart."""


def grown(bench, path, machines: int):
    """A copy of the registry with so many copies of its machine, as rows."""
    shutil.copy(bench.store.path, path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for table, own in COPIED.items():
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            assert columns and set(own) <= set(columns), table
            picked = ", ".join(_copied(c) if c in own else f'"{c}"' for c in columns)
            db.execute(
                f"INSERT INTO {table} WITH RECURSIVE n(i) AS"
                " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                f" SELECT {picked} FROM n, (SELECT * FROM {table} ORDER BY rowid LIMIT 1)",
                (machines,),
            )
    return open_registry(path, bench.clock)


def _copied(column: str) -> str:
    kind = "TEXT" if column in {"id", "name", "device"} else "BLOB"
    return f"CAST({column} || '-' || i AS {kind})"


class Instructions:
    """How many a store's connections took."""

    def __init__(self, store) -> None:
        self.count = 0
        for connections in (store.engines._writers, store.engines._readers):
            connections.clear()
            event.listen(connections.engine, "connect", self._connected)

    def _connected(self, connection, _record) -> None:
        connection.set_progress_handler(self._seen, EACH)

    def _seen(self) -> int:
        self.count += EACH
        return 0


def chores(bench, store):
    tail = RecordTail(store)
    clockwork = clockwork_of(
        Duties(store, NoPeers()),
        tail,
        bench.fleet,
        InMemoryBus(store, bench.fleet),
        (),
        InMemoryFailures(),
        ReportDesk(store, bench.fleet, InMemoryFailures()),
    )
    counts = EventCounts(store, tail)
    works = {chore.name: chore.work for chore in clockwork._chores}
    return {**works, "counts of the record": counts.read}


@pytest.fixture
def fleets(bench, tmp_path):
    """(store, its instructions, machines) of a small fleet, and of a large one."""
    if not isinstance(bench.store.engines, SqliteEngines):
        pytest.skip("counts instructions of SQLite")
    bench.enrol()
    bench.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    made = []
    for machines in (SMALL, LARGE):
        store = grown(bench, tmp_path / f"{machines}.db", machines)
        made.append((store, Instructions(store), machines))
    yield made
    for store, _, _ in made:
        store.close()


def grew(took: dict[str, list[int]]) -> dict[str, list[int]]:
    """Those of `took`, in a small fleet and in a large one, that cost more with the fleet."""
    return {name: n for name, n in took.items() if n[1] > MORE * n[0] + A_FEW}


def test_nothing_that_is_done_by_the_clock_reads_through_the_fleet(bench, fleets):
    took: dict[str, list[int]] = {}
    for store, seen, machines in fleets:
        for name, work in chores(bench, store).items():
            work()  # what is done once is done
            seen.count = 0
            work()
            took.setdefault(name, []).append(seen.count)
        with store.reading() as tx:
            assert len(tx.devices.ids(states=(State.TRUSTED,))) == machines + 1
        assert seen.count > 3 * machines, "a look at the whole fleet is seen"
    assert grew(took) == {}, f"instructions at {SMALL} and {LARGE} machines"


ASKED = {
    "by its key": lambda devices, of: devices.by_tls_key(of.tls.spki_sha256),
    "by its EK": lambda devices, of: devices.by_ek(of.tpm.ek_sha256),
    "by EK or AK": lambda devices, of: devices.owners(of.tpm.ek_sha256, of.tpm.ak_name),
    "by its name": lambda devices, of: devices.named(of.name),
    "by its id": lambda devices, of: devices.get(of.id),
}
"""How a machine that calls is looked up."""


def test_no_call_of_a_machine_reads_through_the_fleet(fleets):
    took: dict[str, list[int]] = {}
    for store, seen, _ in fleets:
        with store.reading() as tx:
            (of, *_) = tx.devices.all()
            for name, ask in ASKED.items():
                seen.count = 0
                assert ask(tx.devices, of), name
                took.setdefault(name, []).append(seen.count)
    assert grew(took) == {}, f"instructions at {SMALL} and {LARGE} machines"


def test_what_the_join_port_is_told_each_second_reads_no_machine_that_nothing_happened_to(fleets):
    took: dict[str, list[int]] = {}
    for store, seen, machines in fleets:
        known = KnownAtPort(store)
        assert len(known.now().eks) > 32 * machines
        assert seen.count > 3 * machines, "the first look reads them all"
        with store.reading() as tx:
            (one, *_) = tx.devices.ids()
        for said in (
            Attested(device=one, result="r", evidence_sha256=bytes(32), profile="p"),
            EvidenceAsked(device=one, why="a test"),
        ):
            with store.writing() as tx:
                tx.record(said)
            seen.count = 0
            known.now()
            took.setdefault(said.name, []).append(seen.count)
    assert grew(took) == {}, f"instructions at {SMALL} and {LARGE} machines"
