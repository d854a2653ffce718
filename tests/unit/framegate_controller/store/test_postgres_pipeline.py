"""Questions that wait for company: answered in their order, none of them lost or done unasked."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from sqlalchemy import Integer, literal_column, select, type_coerce
from sqlalchemy.exc import DBAPIError

from framegate.errors import Refused
from framegate.record.fleet_events import ZoneThawed
from framegate.wire import sha256
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.context import Fleet
from framegate_controller.fleet.attestation import OfferedEvidence
from framegate_controller.fleet.together import AskedChallenge
from framegate_controller.store.postgres_idle import Idle, NoneFree
from framegate_controller.store.sql.postgres_driver import driver_of
from framegate_controller.store.sql.postgres_pipeline import SNAPSHOT, Pipelined, Question
from framegate_controller.store.sql.prepared import Prepared
from framegate_controller.timing import Timing
from support.bench import Bench
from support.clock import Clock
from support.postgres import NAMES

pytestmark = pytest.mark.slow

BEGIN = "BEGIN"
ADD = "INSERT INTO things (name, size) VALUES ($1, $2)"
THINGS = "SELECT name FROM things ORDER BY name"
MANY = 4 << 20


@pytest.fixture(scope="module")
def address(postgres) -> str:
    """A database with one table."""
    address = postgres.create(f"pipelined_{next(NAMES)}")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE things (name varchar(20) PRIMARY KEY, size bigint)")
    return address


@pytest.fixture
def there(address):
    """A connection to it; the table is empty."""
    connection = Pipelined.connect(address, prepare_threshold=None)
    connection.execute("TRUNCATE things")
    connection.commit()
    yield connection
    connection.close()


def names(address) -> list[str]:
    """What is committed."""
    with psycopg.connect(address) as connection:
        return [name for (name,) in connection.execute(THINGS)]


def asked(connection, sql, values=()):
    connection.ask(question := Question(sql, values))
    return connection.rows(question, tuple)


def no_more(changed: int) -> None:
    raise Refused.of("usage", "a row", changed)


def test_what_waits_is_done_before_what_is_asked_and_all_of_it_at_the_commit(there, address):
    told = []
    there.begin(BEGIN)
    there.later(Question(ADD, ("a", 1), told.append))
    there.later(Question("UPDATE things SET size = 2", (), told.append))
    assert told == []
    assert asked(there, "SELECT size FROM things") == [(2,)]
    assert told == [1, 1]
    there.later(Question(ADD, ("b", None)))
    there.commit()
    assert names(address) == ["a", "b"]


def test_what_psycopg_is_asked_comes_after_what_waits(there, address):
    there.begin(BEGIN)
    there.later(Question(ADD, ("a", 1)))
    assert there.execute(THINGS).fetchall() == [("a",)]
    there.later(Question(ADD, ("b", 1)))
    there.rollback()
    assert names(address) == []


def test_an_answer_that_undoes_it_is_looked_at_before_the_commit_is_sent(there, address):
    there.begin(BEGIN)
    there.later(Question(ADD, ("a", 1), no_more))
    with pytest.raises(Refused):
        there.commit()
    there.rollback()
    there.begin(BEGIN)
    assert asked(there, THINGS) == [] and names(address) == []


def test_a_statement_that_fails_beside_its_commit_takes_that_with_it(there, address):
    there.begin(BEGIN)
    for name in ("a", "b", "a", "c"):
        there.later(Question(ADD, (name, 1)))
    with pytest.raises(psycopg.errors.UniqueViolation):
        there.commit()
    assert there.failing.values == ("a", 1) and there.failing.sql == ADD
    there.rollback()
    assert names(address) == [] and there.good


def test_what_failed_and_was_passed_over_is_not_said_to_be_committed(there, address):
    there.begin(BEGIN)
    there.later(Question(ADD, ("a", 1)))
    with suppress(psycopg.errors.UndefinedTable):
        there.ask(Question("SELECT 1 FROM nothing"))
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        there.commit()
    assert names(address) == []


def test_an_answer_that_undoes_it_and_was_passed_over_undoes_it_all_the_same(there, address):
    """It comes up where somebody asks for something else."""
    there.begin(BEGIN)
    there.later(Question(ADD, ("a", 1), no_more))
    with suppress(Refused):
        asked(there, THINGS)
    there.later(Question(ADD, ("b", 1)))
    with pytest.raises(Refused):
        there.commit()
    there.rollback()
    there.begin(BEGIN)
    asked(there, ADD, ("c", 1))
    there.commit()
    assert names(address) == ["c"]


def test_a_question_that_failed_or_stood_behind_one_has_no_answer_and_not_no_rows(there):
    there.begin(BEGIN)
    asked(there, ADD, ("a", 1))
    before, failing, behind = Question(THINGS), Question("SELECT 1/0"), Question(THINGS)
    for question in (before, failing, behind):
        there.later(question)
    with suppress(psycopg.errors.DivisionByZero):
        there.settle()
    assert there.rows(before, tuple) == [("a",)]
    for question in (failing, behind):
        with pytest.raises(AssertionError):
            there.rows(question, tuple)


def test_a_machine_that_was_asked_for_behind_what_failed_is_not_said_to_be_none(
    new_database, opened
):
    fails = Prepared(select(type_coerce(literal_column("1/0"), Integer)))
    store = opened(new_database())
    with pytest.raises(DBAPIError), store.writing() as tx:
        tx.rows.later(fails, None)
        tx.devices.expect(["camera.line-1.cam1"])
        with suppress(DBAPIError):
            tx.revision()
        with pytest.raises(AssertionError):
            tx.devices.get("camera.line-1.cam1")


def test_a_statement_that_fails_again_and_again_is_prepared_once(there):
    divides = "SELECT 1/(1 - $1::int)"
    for _ in range(5):
        there.begin(BEGIN)
        with pytest.raises(psycopg.errors.DivisionByZero):
            there.ask(Question(divides, (1,)))
        there.rollback()
    there.begin(BEGIN)
    prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1"
    assert asked(there, prepared, [divides]) == [(1,)]
    assert asked(there, divides, (0,)) == [(1,)]


def test_one_that_cannot_be_prepared_is_prepared_once_it_can_be(there, address):
    for _ in range(2):
        there.begin(BEGIN)
        with pytest.raises(psycopg.errors.UndefinedTable):
            there.ask(Question("SELECT size FROM later_things"))
        there.rollback()
    with psycopg.connect(address, autocommit=True) as other:
        other.execute("CREATE TABLE later_things AS SELECT 1 AS size")
    there.begin(BEGIN)
    assert asked(there, "SELECT size FROM later_things") == [(1,)]


@pytest.mark.parametrize("by", ["its own time", "somebody"])
def test_one_that_is_called_off_takes_its_transaction_and_not_its_connection(there, address, by):
    there.begin(BEGIN)
    asked(there, "SET LOCAL statement_timeout = " + ("50" if by == "its own time" else "0"))
    there.later(Question(ADD, ("a", 1)))
    pid = there.info.backend_pid

    def call_off() -> None:
        with psycopg.connect(address, autocommit=True) as other:
            sleeps = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity" + (
                " WHERE pid = %s AND state = 'active' AND wait_event = 'PgSleep'"
            )
            while other.execute(sleeps, [pid]).fetchone() == (0,):
                """It has not begun."""

    with ThreadPoolExecutor(1) as beside:
        called = beside.submit(call_off) if by == "somebody" else None
        with pytest.raises(psycopg.errors.QueryCanceled):
            there.ask(Question("SELECT pg_sleep(600)"))
        if called is not None:
            called.result()
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        there.commit()
    there.rollback()
    there.begin(BEGIN)
    assert asked(there, THINGS) == [] and names(address) == []


def test_a_transaction_of_which_the_server_was_told_nothing_costs_it_nothing(there, address):
    there.begin(BEGIN)
    there.later(Question(ADD, ("a", 1)))
    there.rollback()
    there.begin(BEGIN)
    there.commit()
    for end in (there.commit, there.rollback):
        end()
    there.begin(BEGIN)
    assert asked(there, THINGS) == []


def test_a_statement_is_prepared_once_whatever_is_undone(there):
    for number in range(6):
        there.begin(BEGIN)
        asked(there, ADD, (f"a{number}", 2**40 if number % 2 else number))
        there.rollback()
    there.begin(BEGIN)
    prepared = asked(
        there, "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1", [ADD]
    )
    assert prepared == [(1,)]


@pytest.mark.parametrize("value", [0, 1, -1, 32_767, 2**31, 2**63 - 1, -(2**63), None])
def test_a_number_is_what_it_was_however_wide_the_first_one_was(there, value):
    there.begin(BEGIN)
    asked(there, ADD, ("first", 1))
    asked(there, ADD, ("second", value))
    assert asked(there, "SELECT size FROM things WHERE name = $1", ["second"]) == [(value,)]


def test_a_text_that_cannot_be_sent_takes_nothing_with_it(there, address):
    there.begin(BEGIN)
    there.later(Question(ADD, ("a", 1)))
    with pytest.raises(psycopg.DataError):
        there.later(Question(ADD, ("b\x00", 1)))
    there.commit()
    assert names(address) == ["a"]


def test_a_column_that_got_another_type_meanwhile_is_read_as_it_is_now(there, address):
    for _ in range(2):
        asked(there, "SELECT name FROM things")
    try:
        with psycopg.connect(address, autocommit=True) as other:
            other.execute("ALTER TABLE things ALTER COLUMN name TYPE varchar(40)")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            asked(there, "SELECT name FROM things")
        assert asked(there, "SELECT name FROM things") == []
    finally:
        with psycopg.connect(address, autocommit=True) as other:
            other.execute("ALTER TABLE things ALTER COLUMN name TYPE varchar(20)")


def test_more_than_a_socket_holds_goes_both_ways_in_one_journey(there):
    there.begin(BEGIN)
    questions = [Question("SELECT $1::bytea", [bytes([i]) * MANY]) for i in range(4)]
    for question in questions:
        there.later(question)
    there.settle()
    for number, question in enumerate(questions):
        assert there.rows(question, tuple) == [(bytes([number]) * MANY,)]


class Interrupted:
    """A wait that somebody ends."""

    def poll(self, *_: object) -> list[object]:
        raise KeyboardInterrupt


def test_a_connection_that_was_left_in_the_middle_of_an_answer_is_not_asked_again(there, address):
    there.begin(BEGIN)
    asked(there, ADD, ("a", 1))
    there._poll = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        there.ask(Question("SELECT pg_sleep(0.2)"))
    assert not there.good
    there.rollback()
    assert there.closed
    with pytest.raises(psycopg.OperationalError):
        there.begin(BEGIN)
    assert names(address) == []


def ended(connection, address) -> None:
    with psycopg.connect(address, autocommit=True) as other:
        pid = connection.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s, 30000)", [pid])


@pytest.mark.parametrize("do", ["begin", "ask", "commit"])
def test_a_connection_that_its_server_ended_is_said_to_be_lost(there, address, do):
    if do != "begin":
        there.begin(BEGIN)
        asked(there, ADD, ("a", 1))
    ended(there, address)
    with pytest.raises(psycopg.OperationalError):
        {"begin": lambda: there.begin(BEGIN), "commit": there.commit}.get(
            do, lambda: there.ask(Question(THINGS))
        )()
    assert there.closed and not there.good and names(address) == []


def test_what_was_undone_as_the_server_ended_is_nobodys_error(there, address):
    there.begin(SNAPSHOT)
    asked(there, THINGS)
    there.rollback()
    ended(there, address)
    with pytest.raises(psycopg.OperationalError):
        there.begin(SNAPSHOT)


@pytest.fixture
def idle(address):
    """At most two connections to the table."""
    few = Idle(lambda: Pipelined.connect(address, prepare_threshold=None), 2)
    yield few
    few.close()


def test_no_more_connections_than_so_many_are_out_and_whoever_comes_back_lets_one_in(idle):
    one, two = (idle.begun(BEGIN, 30) for _ in range(2))
    with pytest.raises(NoneFree):
        idle.begun(BEGIN, 0.0)
    pid = driver_of(one).info.backend_pid
    idle.take(one)
    again = idle.begun(BEGIN, 0.0)
    assert driver_of(again).info.backend_pid == pid
    two.close()  # whoever closes one makes room, too
    idle.take(idle.begun(BEGIN, 0.0))
    idle.take(again)


@pytest.mark.parametrize("asks", ["sqlalchemy", "the driver"])
def test_one_whose_commit_was_undone_by_an_answer_is_as_good_as_new(there, idle, address, asks):
    """By whoever it was asked: SQLAlchemy asks nothing more of one whose commit failed."""
    assert names(address) == []
    connection = idle.begun(BEGIN, 0.0)
    if asks == "sqlalchemy":
        connection.exec_driver_sql(THINGS)
    driver_of(connection).later(Question(ADD, ("a", 1), no_more))
    with pytest.raises(Refused):
        connection.commit() if asks == "sqlalchemy" else driver_of(connection).commit()
    idle.take(connection)
    again = idle.begun(BEGIN, 0.0)
    assert again is connection
    assert again.exec_driver_sql(THINGS).all() == []
    again.exec_driver_sql("INSERT INTO things VALUES ('b', 1)")
    again.commit()
    idle.take(again)
    assert names(address) == ["b"]


def test_room_is_made_by_one_that_was_lost_and_the_others_are_not_used_again(idle, address):
    one, two = (idle.begun(BEGIN, 30) for _ in range(2))
    pids = {driver_of(c).info.backend_pid for c in (one, two)}
    idle.take(two)
    ended(driver_of(one), address)
    with suppress(psycopg.OperationalError):
        driver_of(one).ask(Question(THINGS))
    idle.take(one)
    after = [idle.begun(BEGIN, 0.0) for _ in range(2)]
    assert pids.isdisjoint(driver_of(c).info.backend_pid for c in after)
    for connection in after:
        idle.take(connection)


@pytest.mark.parametrize("by", ["sqlalchemy", "the driver"])
def test_what_sqlalchemy_found_lost_comes_back_without_a_connection_being_made(
    address, monkeypatch, by
):
    made = []

    def counted() -> Pipelined:
        made.append(Pipelined.connect(address, prepare_threshold=None))
        return made[-1]

    few = Idle(counted, 1)
    connection = few.begun(BEGIN, 0.0)
    if by == "sqlalchemy":
        connection.exec_driver_sql(THINGS)
    ended(made[0], address)
    with pytest.raises(DBAPIError) as raised:
        connection.exec_driver_sql(THINGS)
    assert raised.value.connection_invalidated and connection.invalidated
    few.take(connection)
    assert connection.closed and len(made) == 1
    few.take(few.begun(BEGIN, 0.0))
    assert len(made) == 2
    few.close()


def test_a_connection_that_fails_as_it_is_made_takes_no_room(address, monkeypatch):
    def refused() -> Pipelined:
        raise psycopg.OperationalError("the connection was refused")

    few = Idle(refused, 1)
    for _ in range(3):
        with pytest.raises(Exception, match="refused"):
            few.begun(BEGIN, 0.0)


def test_one_that_is_lost_at_once_is_an_error_and_no_endless_look_for_another(address, monkeypatch):
    made = []

    def short_lived() -> Pipelined:
        made.append(connection := Pipelined.connect(address, prepare_threshold=None))
        monkeypatch.setattr(connection, "begin", lambda _: connection.ask(Question("SELECT 1/0")))
        return connection

    few = Idle(short_lived, 1)
    with pytest.raises(Exception, match="division by zero"):
        few.begun(BEGIN, 0.0)
    assert len(made) == 1 and made[0].closed


def test_connections_are_closed_when_they_come_back_after_the_end(idle):
    connection = idle.begun(BEGIN, 30)
    driver = driver_of(connection)
    idle.close()
    idle.take(connection)
    assert driver.closed
    idle.take(connection)


def test_a_controller_with_a_thousand_callers_still_reaches_its_database(new_database, opened):
    """What select takes ends at descriptor 1023."""
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        store = opened(new_database())
        for _ in range(2):
            with store.writing() as tx:
                tx.record(ZoneThawed(zone="line-1", why="there"))
        with store.reading() as tx:
            assert tx.log.size() == 2
    finally:
        for descriptor in many:
            os.close(descriptor)


class Journeys:
    """What was asked in each of those that somebody waited for."""

    def __init__(self, monkeypatch) -> None:
        self.asked: list[list[str]] = []
        send = Pipelined._send

        def counted(connection: Pipelined, questions) -> None:
            self.asked.append([q.sql for q in questions])
            send(connection, questions)

        monkeypatch.setattr(Pipelined, "_send", counted)

    def taken(self) -> list[list[str]]:
        """Of those so far."""
        asked, self.asked = self.asked, []
        return [sqls for sqls in asked if sqls != ["ROLLBACK"]]


@pytest.mark.parametrize("machines", [1, 3])
def test_what_is_written_of_machines_together_waits_four_times_for_its_turn_and_answers(
    founded_on_postgres, keys, maker, monkeypatch, machines
):
    """However many they are: the turn is one that no other controller has meanwhile. Of each are
    asked beside it its share of a verifier, and whether its challenge was answered.
    """
    clock = Clock()
    store = founded_on_postgres(clock)
    fleet = Fleet(ring=FolderKeyRing(keys), timing=Timing(), clock=clock, controller="controller-1")
    bench = Bench(store, fleet, maker)
    forges = [bench.enrol(f"cam{number}") for number in range(machines)]
    journeys = Journeys(monkeypatch)
    for _ in range(2):
        journeys.taken()
        hellos = [
            AskedChallenge(sha256(f.tls.public.spki()), f.attest_hello(known_log=True))
            for f in forges
        ]
        begun = bench.told(hellos)
        assert len(journeys.taken()) == 1, "one look at all of them"
        offers = []
        for forge, asked, challenge in zip(forges, hellos, begun, strict=True):
            _, evidence = forge.answer(fleet.digest, asked.hello, challenge.challenge, join=False)
            offers.append(OfferedEvidence(asked.key_sha256, challenge.state, evidence))
        assert [told.answer.state for told in bench.told(offers)] == ["trusted"] * machines
    made = journeys.taken()
    turn = next(i for i, sqls in enumerate(made) if "pg_advisory_xact_lock" in sqls[-1])
    assert made[-1][-1] == "COMMIT"
    assert len(made) - turn == (3 if machines == 1 else 4)
    assert turn == 1 + 2 * machines
    store.close()
