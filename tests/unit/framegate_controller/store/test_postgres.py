"""The registry in PostgreSQL: values and transactions as in the file, and its own ways to fail."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError, OperationalError

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.machines.lifecycle import State
from framegate.record.fleet_events import ZoneThawed
from framegate.record.merkle import Frontier
from framegate.registry.zone import Zone
from framegate_controller.registry_address import StoreAt, address_problems
from framegate_controller.store import database
from framegate_controller.store import postgres as kind
from framegate_controller.store.database import open_registry, open_store
from framegate_controller.store.engines import SqliteEngines
from framegate_controller.store.ports import EntryQuery, Moved
from framegate_controller.store.tables.schema import METADATA
from support.invited_camera import CAMERA
from support.stored_values import BYTES, KEPT, PUT_AGAIN, TakenBack, any_of, put_again

pytestmark = pytest.mark.slow

FEW = settings(max_examples=3)


@pytest.fixture(scope="module")
def store(postgres, postgres_template, tmp_path_factory):
    address = postgres.create("of_this_module", postgres_template)
    registry = open_store(StoreAt(tmp_path_factory.mktemp("at"), address))
    yield registry
    registry.close()


def entries_of(store) -> list[bytes]:
    with store.reading() as tx:
        size = tx.log.size()
        return [e.entry for e in tx.log.entries(EntryQuery(), first=0, below=size, most=10_000)]


def require_whole(store) -> None:
    """Every entry is there once, in order, and the tree is theirs."""
    with store.reading() as tx:
        size = tx.log.size()
        found = tx.log.entries(EntryQuery(), first=0, below=size, most=100_000)
        assert [e.index for e in found] == list(range(size))
        assert tx.log.root() == Frontier.resume(size, tx.log.node).root.hex()


@pytest.mark.parametrize("cls", KEPT, ids=lambda c: c.__name__)
@FEW
@given(data=st.data())
def test_a_value_comes_out_as_it_went_in(store, cls, data):
    value = data.draw(any_of(cls))
    put, get = KEPT[cls]
    with pytest.raises(TakenBack), store.writing() as tx:
        put(tx, value)
        assert get(tx, value) == value
        raise TakenBack


@pytest.mark.parametrize("cls", PUT_AGAIN, ids=lambda c: c.__name__)
@FEW
@given(data=st.data())
def test_a_changed_value_takes_the_place_of_the_one_before(store, cls, data):
    before, drawn = data.draw(any_of(cls)), data.draw(any_of(cls))
    after = dataclasses.replace(drawn, **{k: getattr(before, k) for k in PUT_AGAIN[cls]})
    put, get = KEPT[cls]
    with pytest.raises(TakenBack), store.writing() as tx:
        put(tx, before)
        put_again(tx, cls, after)
        assert get(tx, after) == after
        raise TakenBack


@FEW
@given(BYTES, BYTES)
def test_logs_images_and_settings_come_out_as_they_went_in(store, log, image):
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.evidence.keep_boot_log(b"d" * 32, log)
        tx.evidence.keep_boot_log(b"d" * 32, log)
        assert tx.evidence.boot_log(b"d" * 32) == log
        assert tx.parts.golden(bytes.fromhex(tx.parts.keep_golden(image))) == image
        tx.settings.put("quorum", "2")
        tx.settings.put("quorum", "3")
        assert tx.settings.get("quorum") == "3"
        raise TakenBack


WRITES = {
    "a device": lambda tx: tx.devices.add(CAMERA),
    "an event": lambda tx: tx.record(ZoneThawed(zone="line-1", why="w")),
    "the revision": lambda tx: tx.raise_revision(),
    "a zone": lambda tx: tx.zones.put(Zone(name="line-1")),
    "a spent challenge": lambda tx: tx.challenges.spend(b"c", 2),
}


@pytest.mark.parametrize("what", WRITES)
def test_what_is_written_in_a_snapshot_is_refused_by_the_database(store, what):
    with pytest.raises(DBAPIError, match="read-only"), store.reading() as tx:
        WRITES[what](tx)


def test_an_exception_undoes_all_of_a_transaction_and_the_record_goes_on(new_database, opened):
    store = opened(new_database())
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="first"))
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(CAMERA)
        tx.record(ZoneThawed(zone="line-1", why="never"))
        tx.raise_revision()
        raise TakenBack
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="second"))
    first, second = entries_of(store)
    assert b"first" in first
    assert b"second" in second
    require_whole(store)


def test_a_device_that_another_controller_changed_is_not_put_back(new_database, opened):
    one, other = (opened(address) for address in [new_database()] * 2)
    with one.writing() as tx:
        tx.devices.add(CAMERA)
    with one.reading() as tx:
        looked = tx.devices.get(CAMERA.id)
    with other.writing() as tx:
        tx.devices.put(dataclasses.replace(looked, state=State.QUARANTINED))
    with pytest.raises(Moved), one.writing() as tx:
        tx.devices.put(dataclasses.replace(looked, state=State.TRUSTED))


def test_a_challenge_is_spent_once_at_whatever_controller(new_database, opened):
    one, other = (opened(address) for address in [new_database()] * 2)
    with one.writing() as tx:
        tx.challenges.spend(b"once", 2_000)
    with pytest.raises(Refused) as refused, other.writing() as tx:
        tx.challenges.spend(b"once", 2_000)
    assert refused.value.reason == Reason.SESSION_UNKNOWN


def test_n85_appends_of_several_controllers_at_once_are_each_there_once(new_database, opened):
    address = new_database()
    stores = [opened(address) for _ in range(3)]

    def append(number: int) -> int:
        with stores[number % 3].writing() as tx:
            return tx.record(ZoneThawed(zone="line-1", why=f"entry {number}"))

    with ThreadPoolExecutor(6) as pool:
        indices = list(pool.map(append, range(60)))
    assert sorted(indices) == list(range(60))
    require_whole(stores[0])


def test_a_record_that_came_back_with_another_end_is_not_gone_on_with_as_remembered(
    new_database, opened, postgres
):
    """A database that failed over to a copy which lacks the last entry, and another was written in
    its place by another controller: of the same size, and another record.
    """
    address = new_database()
    one, other = opened(address), opened(address)
    with one.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="lost in the fail-over"))
    with other.engines.begin(writes=True).connection as connection:
        for table in ("log_nodes", "log_entries"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.commit()
    with other.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="instead of it"))
    with one.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="after it"))
    require_whole(one)
    with one.reading() as tx:
        frontier = Frontier()
        from framegate.receipt_verifier import leaf_hash

        for entry in entries_of(one):
            frontier.append(leaf_hash(entry))
        assert frontier.root.hex() == tx.log.root()


def test_time_is_the_databases_so_that_clocks_of_controllers_need_not_agree(
    new_database, opened, monkeypatch
):
    from framegate_controller.store import database

    address = new_database()
    right = opened(address)
    real = database.now_ms
    monkeypatch.setattr(database, "now_ms", lambda: real() + 3_600_000)
    fast = opened(address)
    times = []
    for store in (right, fast, right, fast):
        with store.writing() as tx:
            times.append(tx.now_ms)
    assert times == sorted(times)
    assert times[-1] - times[0] < 60_000
    assert abs(fast.clock() - right.clock()) < 60_000


def test_a_lost_connection_before_a_transaction_began_is_nobodys_to_mend(
    new_database, opened, postgres
):
    address = new_database()
    store = opened(address)
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="before"))
    with store.reading() as tx:
        tx.log.size()
    cut(postgres, address)
    with store.reading() as tx:
        assert tx.log.size() == 1
    cut(postgres, address)
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="after"))
    require_whole(store)


def test_n106_whoever_ends_waits_for_no_database_that_is_away(new_database, opened, monkeypatch):
    store = opened(new_database())
    with store.reading() as tx:
        tx.log.size()
    looks = []

    def away(*_: object) -> None:
        looks.append(1)
        raise OperationalError("", {}, psycopg.OperationalError("the connection was refused"))

    monkeypatch.setattr(kind.Idle, "begun", away)
    monkeypatch.setattr(kind, "AWAY_S", 3_600.0)
    monkeypatch.setattr(kind, "PAUSE_S", 3_600.0)
    store.ending()
    for begin in (store.reading, store.writing, store.reading):
        with pytest.raises(Unavailable), begin():
            pass
    assert len(looks) == 1, "the others did not even look"


def test_n85_a_connection_lost_after_what_was_read_loses_nothing(new_database, opened, postgres):
    address = new_database()
    store = opened(address)
    for _ in range(20):  # more than a pool has: none is left taken out of it
        with store.reading() as tx:
            assert tx.log.size() == 0
            cut(postgres, address)
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="there"))
    require_whole(store)


def test_n85_a_connection_lost_within_a_transaction_undoes_it_and_says_so(
    new_database, opened, postgres
):
    address = new_database()
    store = opened(address)
    with pytest.raises(Unavailable) as refused, store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="lost"))
        cut(postgres, address)
        tx.record(ZoneThawed(zone="line-1", why="lost too"))
    assert refused.value.reason == Reason.UNAVAILABLE
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="there"))
    (only,) = entries_of(store)
    assert b"there" in only
    require_whole(store)


def test_n85_a_connection_lost_at_the_commit_leaves_it_done_or_not_done_and_says_that(
    new_database, opened, postgres
):
    address = new_database()
    store = opened(address)
    committed = []
    with pytest.raises(Unavailable) as refused, store.writing() as tx:
        tx.when_committed(lambda: committed.append(1))
        tx.record(ZoneThawed(zone="line-1", why="who knows"))
        cut(postgres, address)
    assert "done or not done" in refused.value.failures[0].actual
    assert committed == []
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="there"))
    assert b"there" in entries_of(store)[-1]
    require_whole(store)


def test_n88_two_that_open_a_new_database_at_once_make_one_schema(postgres, tmp_path):
    address = postgres.create("opened_twice")
    with ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(lambda _: open_store(StoreAt(tmp_path, address)), range(2)))
    assert [s.schema() for s in stores] == [stores[0].schema()] * 2
    with stores[1].writing() as tx:
        tx.raise_revision()
        assert tx.revision() == 1
    for store in stores:
        store.close()


def test_n88_migrations_go_down_and_up_and_leave_what_the_tables_say(postgres, tmp_path):
    from alembic import command
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext

    address = postgres.create("down_and_up")
    store = open_store(StoreAt(tmp_path, address))
    config = Config()
    config.set_main_option("script_location", "framegate_controller:store/migrations")
    with store.engines.begin(writes=True).connection as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        command.upgrade(config, "head")
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        connection.commit()
    with store.writing() as tx:
        assert tx.raise_firmware_revision() == 1
    store.close()


def test_whoever_waits_for_a_turn_too_long_is_told(new_database, opened, monkeypatch):
    monkeypatch.setattr(kind, "WAIT_S", 0.2)
    address = new_database()
    one, other = opened(address), opened(address)
    began, over = threading.Event(), threading.Event()

    def hold() -> None:
        with one.writing():
            began.set()
            over.wait(30)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert began.wait(30)
        with pytest.raises(Unavailable, match="turn to write"), other.writing():
            pass
        over.set()
        held.result(30)


def test_text_with_a_nul_or_too_long_for_its_column_is_refused_in_words(store):
    for name in ("line\x001", "l" * 300):
        with pytest.raises(Malformed) as refused, store.writing() as tx:
            tx.zones.put(Zone(name=name))
        assert refused.value.reason == Reason.USAGE


def test_a_database_that_orders_texts_in_its_own_way_is_refused(postgres, tmp_path):
    postgres._run(
        *("createdb", "-h", str(postgres.folder), "-U", "postgres", "-T", "template0"),
        *("-E", "SQL_ASCII", "-l", "C", "not_utf8"),
    )
    with pytest.raises(Refused) as refused:
        open_store(StoreAt(tmp_path, postgres.address("not_utf8")))
    assert "createdb" in refused.value.failures[0].hint


def test_a_database_that_is_not_there_is_told_and_a_password_is_never_shown(
    postgres, tmp_path, monkeypatch
):
    monkeypatch.setattr(kind, "AWAY_S", 0.0)
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("hunter2hunter2\n")
    with pytest.raises(Unavailable) as refused:
        open_store(StoreAt(tmp_path, postgres.address("nowhere"), password))
    assert "hunter2" not in str(refused.value)
    with pytest.raises(Unavailable):
        open_store(StoreAt(tmp_path, postgres.address("nowhere"), tmp_path / "missing"))


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("postgresql://a@db.example.net/fleet", "verify-full"),
        ("postgresql://a@db.example.net/fleet?sslmode=require", "verify-full"),
        ("postgresql://a@/fleet?host=/run/pg,db.example.net", "verify-full"),
        ("postgresql://a@127.0.0.1,[2001:db8::1]:5432/fleet", "verify-full"),
        ("postgresql://a@localhost/fleet?password=secret", "--store"),
        ("postgresql://a@localhost/fleet?options=-cfsync=off", "--store"),
        ("postgresql://a@localhost/fleet?sslmode=verify-full&passfile=/x", "--store"),
        ("postgresql://a@localhost", "--store"),
        ("mysql://a@localhost/fleet", "--store"),
        ("postgresql://a@localhost/fleet?sslmode", "--store"),
    ],
)
def test_an_address_that_says_too_little_or_too_much_is_refused(address, wanted, tmp_path):
    problems = address_problems(address)
    assert any(wanted in p.expected for p in problems), problems
    with pytest.raises(Refused):
        open_store(StoreAt(tmp_path, address))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "postgresql://a@/fleet?host=/run/postgresql",
        "postgresql://a@localhost:5433/fleet",
        "postgresql://a@[::1]/fleet",
        "postgresql://a@one.example.net:5432,two.example.net/fleet?sslmode=verify-full"
        "&sslrootcert=/etc/ca.pem&target_session_attrs=read-write",
    ],
)
def test_an_address_that_says_whom_to_believe_is_taken(address):
    assert address_problems(address) == []


def test_an_early_default_of_no_bytes_is_bytes_after_the_migration(tmp_path):
    store = open_registry(tmp_path / "registry.db")
    assert isinstance(store.engines, SqliteEngines)
    with store.writing() as tx:
        tx.devices.add(CAMERA)
    with store.engines.begin(writes=True).connection as connection:
        connection.exec_driver_sql("UPDATE devices SET boot_log_sha256 = ''")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0011'")
        for table in (
            "quota_levels",
            "ear_headers",
            "controllers",
            "answered_challenges",
            "waiting",
            "tries",
            "leases",
            "sites",
            "decision_entries",
            "decision_nodes",
            "decision_heads",
            "decision_cosignatures",
            "decision_witnesses",
        ):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        for index in (
            "ix_devices_tls_spki_sha256",
            "ix_devices_maintenance",
            "ix_devices_kind_state",
            "ix_devices_boot_log_sha256",
            "ix_evidence_boot_log_sha256",
        ):
            connection.exec_driver_sql(f"DROP INDEX {index}")
        connection.exec_driver_sql("ALTER TABLE evidence DROP COLUMN log_at")
        connection.exec_driver_sql("ALTER TABLE results DROP COLUMN ear_packed")
        connection.exec_driver_sql("ALTER TABLE results DROP COLUMN ear_header")
        connection.commit()
    store.close()
    store = open_registry(tmp_path / "registry.db")
    with store.reading() as tx:
        assert tx.devices.get(CAMERA.id) == CAMERA
    store.close()


def cut(postgres, address: str) -> None:
    """End every connection to a database, as its restart does."""
    name = address.partition("@/")[2].partition("?")[0]
    of_it = f"FROM pg_stat_activity WHERE datname = '{name}'"
    postgres.sql("postgres", f"SELECT pg_terminate_backend(pid, 30000) {of_it}")


def test_a_commit_waits_though_its_server_says_it_need_not(postgres, store):
    """The server of these tests says so; what was answered stands there when it has died."""
    assert postgres.sql("postgres", "SHOW synchronous_commit") == "off"
    with store.engines.begin(writes=True).connection as connection:
        shown = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
    assert shown == "on"
    with store.engines.aside() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "off"


@pytest.mark.parametrize("theirs", ["local", "remote_write", "remote_apply"])
def test_how_a_commit_waits_is_the_servers_own_setting(new_database, opened, theirs):
    address = new_database()
    with psycopg.connect(address, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {theirs}")
    with opened(address).engines.begin(writes=True).connection as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == theirs


LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout")


def limits_of(connection):
    return {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in LIMITS}


def test_a_migration_may_take_long_and_nothing_after_it(postgres, tmp_path, monkeypatch):
    """Cut off after the seconds of a turn it would begin anew at each start, for ever."""
    seen, migrate = [], database._migrate

    def looked(connection):
        seen.append(limits_of(connection))
        migrate(connection)
        seen.append(limits_of(connection))

    monkeypatch.setattr(database, "_migrate", looked)
    at = StoreAt(tmp_path, postgres.create("migrated_slowly", "template0"))
    registry = open_store(at)
    with registry.engines.begin(writes=True).connection as connection:
        after = limits_of(connection)
    registry.close()
    assert seen == [dict.fromkeys(LIMITS, "1h")] * 2 and kind.MIGRATION_MS == 3_600_000
    assert after == dict(zip(LIMITS, ("1min", "15s"), strict=True))
