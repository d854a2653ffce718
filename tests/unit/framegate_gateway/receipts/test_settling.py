"""Leaves are durable before they have their place, and nothing of them depends on when they get
it.
"""

import sqlite3
from contextlib import closing

import pytest

from framegate.errors import FramegateError, Reason
from framegate_gateway.receipts.lineage import lineage
from framegate_gateway.receipts.read import Wanted, find, receipts
from framegate_gateway.receipts.retention import ReceiptRetention
from framegate_gateway.receipts.rows import stored_leaves
from framegate_gateway.receipts.schema import VERSION
from framegate_gateway.receipts.store import ReceiptStore
from framegate_simulators.fixtures.gateway import CAMERA
from support.receipts import proved


def in_table(store, table) -> list[int]:
    with store.reading() as connection:
        return [n for (n,) in connection.execute(f"SELECT number FROM {table} ORDER BY number")]


def last_id(store) -> str:
    with store.reading() as connection:
        rows = connection.execute("SELECT id FROM coming ORDER BY number DESC LIMIT 1").fetchone()
    return rows[0].hex()


async def test_a_verdict_waits_for_one_table_and_signing_gives_the_leaf_its_place(receipts_desk):
    store = receipts_desk.store
    receipts_desk.sign()
    settled = in_table(store, "leaves")
    await receipts_desk.frame(30)
    assert in_table(store, "coming") == [settled[-1] + 1]
    assert in_table(store, "leaves") == settled
    receipts_desk.sign()
    assert in_table(store, "coming") == []
    assert in_table(store, "leaves") == [*settled, settled[-1] + 1]


async def test_what_has_come_is_found_by_its_id_and_is_no_receipt_yet(receipts_desk):
    await receipts_desk.frame(30)
    store, identifier = receipts_desk.store, last_id(receipts_desk.store)
    assert find(store, identifier[:12]).part == "p30"
    told = lineage(store, receipts_desk.models.bundle, identifier)
    assert told["frame"]["part"] == "p30" and told["receipt"]["batch"] is None
    with pytest.raises(FramegateError, match="waits for its batch"):
        list(receipts(store, Wanted(id=identifier), []))
    assert not list(receipts(store, Wanted(part="p30"), []))
    receipts_desk.sign()
    assert len(list(receipts(store, Wanted(id=identifier), []))) == 1
    assert len(list(receipts(store, Wanted(part="p30"), []))) == 1


async def test_an_id_that_begins_alike_in_both_places_is_ambiguous(receipts_desk):
    store = receipts_desk.store
    receipts_desk.sign()
    await receipts_desk.frame(30)
    settled = find(store, last_id(store)).id
    with store.writing() as connection:
        connection.execute("UPDATE coming SET id = ?", (bytes.fromhex(settled[:30] + "00"),))
        connection.execute(
            "UPDATE leaves SET id = ? WHERE number = 1", (bytes.fromhex(settled[:30] + "01"),)
        )
    with pytest.raises(FramegateError) as caught:
        find(store, settled[:30])
    assert caught.value.reason == Reason.NOT_FOUND and "several" in str(caught.value)
    assert find(store, settled[:30] + "01").number == 1


async def test_numbers_go_on_after_what_was_never_settled(receipts_desk):
    await receipts_desk.frame(30)
    store = receipts_desk.store
    number = store.last
    with closing(sqlite3.connect(store.path)) as copy:
        assert copy.execute("SELECT number FROM coming").fetchall()[-1] == (number,)
    store.close()
    receipts_desk.open()
    assert receipts_desk.store.last == receipts_desk.store.orphans_end == number
    assert in_table(receipts_desk.store, "coming") == []


async def test_a_store_that_fails_goes_on_after_what_was_not_settled(receipts_desk):
    await receipts_desk.frame(30)
    store = receipts_desk.store
    number = store.last
    store.failed, store._failed_s = "the disk", float("-inf")
    await receipts_desk.frame(31)
    assert store.last == number + 1 == in_table(store, "coming")[-1]


async def test_what_others_share_stays_while_a_leaf_that_came_needs_it(receipts_desk):
    """Retention takes every settled receipt of the session, and its text would go with them."""
    await proved(receipts_desk)
    await receipts_desk.frame(30)
    identifier = last_id(receipts_desk.store)
    retention = ReceiptRetention(receipts_desk.store, 0)
    retention.run()
    assert find(receipts_desk.store, identifier).part == "p30"
    receipts_desk.sign()
    with receipts_desk.store.reading() as connection:
        (row,) = stored_leaves(connection, "WHERE part = ?", ("p30",))
    assert row.device == CAMERA


async def test_settling_that_breaks_off_leaves_each_leaf_once(receipts_desk):
    store = receipts_desk.store
    await receipts_desk.frame(30)
    come, settled = in_table(store, "coming"), in_table(store, "leaves")
    with store.writing() as connection:
        connection.execute(
            "CREATE TRIGGER breaks BEFORE DELETE ON coming BEGIN SELECT RAISE(ABORT, 'cut'); END"
        )
    with pytest.raises(sqlite3.Error, match="cut"):
        store.settle()
    assert in_table(store, "coming") == come and in_table(store, "leaves") == settled
    with store.writing() as connection:
        connection.execute("DROP TRIGGER breaks")
    store.settle()
    assert in_table(store, "leaves") == [*settled, *come]


def test_a_store_of_version_2_gets_the_table_and_keeps_its_rows(tmp_path):
    store = ReceiptStore(tmp_path)
    store.close()
    with closing(sqlite3.connect(tmp_path / "receipts.db")) as connection:
        connection.executescript(
            "DROP TABLE coming; INSERT INTO leaves VALUES (1, x'00', 3, 0, 0, 0, '', 5, x'11');"
            "PRAGMA user_version = 2"
        )
    store = ReceiptStore(tmp_path)
    with store.reading() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert in_table(store, "leaves") == [1] and store.last == 1
    store.close()
