"""Statements that the driver runs: they say, take and refuse what they do by SQLAlchemy."""

import enum
import shutil

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Enum,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import ProgrammingError as NoSuchTable

from framegate.errors import Unavailable
from framegate.record.fleet_events import ZoneThawed
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import open_registry, open_store
from framegate_controller.store.sql.prepared import Prepared, with_numbers
from framegate_controller.store.sql.rows import Rows

TABLE = Table(
    "things",
    MetaData(),
    Column("name", String(20), primary_key=True),
    Column("size", BigInteger, default=7),
    Column("content", LargeBinary, default=b""),
)
ADD = Prepared(insert(TABLE))
OF = Prepared(select(TABLE).where(TABLE.c.name == bindparam("of")))
GROW = Prepared(
    update(TABLE)
    .where(TABLE.c.name == bindparam("of"))
    .values(size=TABLE.c.size + 1)
    .returning(TABLE.c.size)
)
GROW_ALL = Prepared(update(TABLE).values(size=TABLE.c.size + 1))
LARGEST = Prepared(select(TABLE.c.name).order_by(TABLE.c.size.desc()).limit(1))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def connection(request):
    """A connection with the table, empty."""
    if request.param == "sqlite":
        engine = create_engine("sqlite://")
    else:
        new_database = request.getfixturevalue("new_database")
        opened = request.getfixturevalue("opened")
        engine = opened(new_database()).engines._writers.engine
    with engine.connect() as there:
        TABLE.create(there)
        yield there
        there.rollback()
    engine.dispose()


@pytest.fixture
def rows(connection):
    return Rows(connection)


def test_what_goes_in_comes_out_and_sqlalchemy_finds_it_too(rows):
    assert rows.run(ADD, {"name": "a", "size": 2**62, "content": b"\x00\xff"}) == 1
    row = rows.one(OF, {"of": "a"})
    assert (row.name, row.size, row.content) == ("a", 2**62, b"\x00\xff")
    assert [tuple(r) for r in rows.all(select(TABLE))] == [("a", 2**62, b"\x00\xff")]
    assert type(row.content) is bytes and rows.all(OF, {"of": "a"}) == [row]


def test_what_is_not_there_is_none(rows):
    assert rows.one(OF, {"of": "nobody"}) is None and rows.all(OF, {"of": "nobody"}) == []
    assert rows.scalar(LARGEST) is None
    assert rows.run(Prepared(update(TABLE).values(size=1))) == 0


def test_a_columns_own_value_stands_where_none_is_given(rows):
    rows.run(ADD, {"name": "a"})
    assert rows.one(OF, {"of": "a"})[1:] == (7, b"")


def test_the_same_statement_with_other_columns_writes_those(rows):
    rows.run(ADD, {"name": "a", "size": 1})
    rows.run(ADD, {"content": b"x", "name": "b"})
    rows.run(ADD, {"name": "c", "content": None, "size": None})
    found = [tuple(rows.one(OF, {"of": name})) for name in "abc"]
    assert found == [("a", 1, b""), ("b", 7, b"x"), ("c", None, None)]


def test_values_of_the_statement_itself_go_with_those_of_its_run(rows):
    for name, size in (("a", 1), ("b", 5), ("c", 3)):
        rows.run(ADD, {"name": name, "size": size})
    assert rows.scalar(LARGEST) == "b"
    assert [rows.scalar(GROW, {"of": "c"}) for _ in range(3)] == [4, 5, 6]
    assert rows.scalar(LARGEST) == "c" and rows.scalar(GROW, {"of": "nobody"}) is None


@pytest.mark.parametrize("name", ["it's", 'say "so"', "?", ":of", "%s", "%(of)s", "ü", "a\nb", ""])
def test_no_text_is_taken_for_a_part_of_the_statement(rows, name):
    rows.run(ADD, {"name": name})
    assert rows.one(OF, {"of": name}).name == name


@pytest.mark.parametrize("given", [{}, {"off": "a"}, {"of": "a", "more": 1}])
def test_a_parameter_that_is_missing_or_unknown_writes_nothing(rows, given):
    rows.run(ADD, {"name": "a", "size": 1})
    with pytest.raises(TypeError, match="values for its names were expected"):
        rows.run(GROW, given)
    assert rows.one(OF, {"of": "a"}).size == 1


def test_an_error_of_the_driver_is_sqlalchemys_and_names_the_statement(rows):
    rows.run(ADD, {"name": "a"})
    with pytest.raises(IntegrityError) as raised:
        rows.run(ADD, {"name": "a"})
    assert "INSERT INTO things" in str(raised.value) and not raised.value.connection_invalidated


def test_an_error_in_the_middle_of_nothing_is_sqlalchemys_too(rows):
    gone = Table("gone", MetaData(), Column("name", String(9)))
    with pytest.raises((OperationalError, NoSuchTable), match="gone"):
        rows.all(Prepared(select(gone)))


class Colour(enum.Enum):
    """A type whose values are not what the driver keeps."""

    RED = "r"


@pytest.mark.parametrize("kind", [DateTime, Enum(Colour)], ids=["time", "enumeration"])
def test_a_type_that_sqlalchemy_turns_into_another_is_refused(rows, kind):
    other = Table("other", MetaData(), Column("c", kind))
    for statement, values in (
        (select(other), {}),
        (insert(other), {"c": 1}),
        (select(TABLE.c.name).where(other.c.c == bindparam("of")), {"of": 1}),
    ):
        with pytest.raises(TypeError, match="numbers, texts and bytes were expected"):
            rows.run(Prepared(statement), values)


TRUTHS = Table("truths", MetaData(), Column("n", BigInteger), Column("so", Boolean))


@pytest.mark.parametrize("so", [True, False])
def test_whether_something_is_so_is_written_as_it_is_and_read_as_a_number(connection, so):
    TRUTHS.create(connection)
    rows = Rows(connection)
    rows.run(Prepared(insert(TRUTHS)), {"n": 1, "so": so})
    read = rows.one(
        Prepared(with_numbers(TRUTHS).where(TRUTHS.c.so == bindparam("of"))), {"of": so}
    )
    assert bool(read.so) is so and read.n == 1
    assert rows.one(select(TRUTHS)).so is so, "SQLAlchemy reads what was written"
    none = {"of": not so}
    assert (
        rows.one(Prepared(with_numbers(TRUTHS).where(TRUTHS.c.so == bindparam("of"))), none) is None
    )


def test_whether_something_is_so_is_not_read_as_each_driver_has_it(rows):
    with pytest.raises(TypeError, match="numbers, texts and bytes were expected"):
        rows.all(Prepared(select(TRUTHS)))


@pytest.mark.parametrize("several", [["a", "b"], bindparam("of")], ids=["values", "a name"])
def test_a_parameter_that_stands_for_several_is_refused(rows, several):
    values = {} if isinstance(several, list) else {"of": ["a", "b"]}
    with pytest.raises(TypeError, match="parameters of one value each were expected"):
        rows.all(Prepared(select(TABLE).where(TABLE.c.name.in_(several))), values)


def test_a_default_that_is_made_for_each_row_is_refused(rows):
    made = Column("b", String, default=lambda: "x")
    other = Table("o", MetaData(), Column("a", BigInteger), made)
    with pytest.raises(TypeError, match="a default that is a value"):
        rows.run(Prepared(insert(other)), {"a": 1})


def test_several_values_for_one_run_are_refused(rows):
    with pytest.raises(AssertionError):
        rows.run(ADD, [{"name": "a"}, {"name": "b"}])


def test_what_is_run_later_is_run_before_what_is_asked_and_its_count_is_told(rows):
    told = []
    rows.later(ADD, {"name": "a", "size": 1}, told.append)
    rows.later(GROW_ALL, {}, told.append)
    assert rows.one(OF, {"of": "a"}).size == 2 and told == [1, 1]
    rows.later(ADD, {"name": "b"})
    assert len(rows.all(select(TABLE))) == 2, "before what SQLAlchemy runs, too"


def test_what_a_count_forbids_is_said_at_the_latest_with_the_next_answer(rows):
    def none(changed: int) -> None:
        raise LookupError(changed)

    with pytest.raises(LookupError):
        rows.later(GROW_ALL, {}, none)
        rows.one(OF, {"of": "a"})


def test_what_is_asked_ahead_is_found_when_it_is_wanted(rows):
    rows.run(ADD, {"name": "a", "size": 5})
    ahead = {name: rows.ahead(OF, {"of": name}) for name in ("a", "b")}
    assert ahead["a"]().size == 5 and ahead["b"]() is None
    assert ahead["a"]().name == "a"


@pytest.mark.parametrize("given", [{}, {"off": "a"}])
def test_what_is_wrong_with_a_statement_is_said_before_it_waits(rows, given):
    for put in (rows.later, rows.ahead):
        with pytest.raises(TypeError, match="values for its names were expected"):
            put(OF, given)()
    assert rows.all(select(TABLE)) == []


def test_an_error_of_what_was_run_later_names_that(rows):
    with pytest.raises(IntegrityError) as raised:
        for name in ("a", "b", "a"):
            rows.later(ADD, {"name": name, "size": 3})
        rows.one(OF, {"of": "a"})
    assert "INSERT INTO things" in str(raised.value) and "'a'" in str(raised.value)


def test_each_kind_of_database_has_words_of_its_own(connection):
    driver = Rows(connection)._driver
    worded = OF.worded(driver.dialect, {"of": "a"})
    assert worded is OF.worded(driver.dialect, {"of": "b"})
    wanted = "= ?" if driver.dialect.name == "sqlite" else "= $1"
    assert wanted in worded.sql


def test_n85_a_disk_that_is_full_undoes_what_attestations_write_and_says_so(
    tmp_path, founded_registry
):
    store = open_registry(shutil.copy(founded_registry, tmp_path / "registry.db"), lambda: 1_000)
    with store.writing() as tx:  # its connection is the one that comes next
        tx.rows._connection.exec_driver_sql("PRAGMA max_page_count = 1")
        before = tx.log.size()
    with pytest.raises(Unavailable) as refused, store.writing() as tx:
        for number in range(10_000):
            tx.record(ZoneThawed(zone="line-1", why=f"{number} " * 200))
    assert "make room" in refused.value.failures[0].hint
    with store.writing() as tx:
        assert tx.log.size() == before
        tx.rows._connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="there is room again"))
        assert tx.log.size() == before + 1
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("writes", [False, True])
def test_a_connection_that_is_lost_under_a_statement_is_said_and_no_other_of_its_pool_is_used(
    postgres, new_database, tmp_path, writes
):
    address = new_database()
    store = open_store(StoreAt(tmp_path, address))
    name = address.partition("@/")[2].partition("?")[0]
    begin = store.writing if writes else store.reading
    with store.reading() as tx, store.reading() as other:  # two of them, for its pool
        assert tx.revision() == other.revision() == 0
    with pytest.raises(Unavailable), begin() as tx:
        tx.revision()
        of_it = f"FROM pg_stat_activity WHERE datname = '{name}'"
        postgres.sql("postgres", f"SELECT pg_terminate_backend(pid, 30000) {of_it}")
        with pytest.raises(DBAPIError) as raised:
            tx.revision()
        assert raised.value.connection_invalidated
        raise raised.value
    with store.writing() as tx:
        tx.raise_revision()
        assert tx.revision() == 1
    store.close()
