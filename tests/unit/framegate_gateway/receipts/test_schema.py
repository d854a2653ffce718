"""A receipts.db of an earlier version gives the same receipts, to the byte."""

import gzip
import json
import sqlite3

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason
from framegate.receipt_verifier import verify_receipt
from framegate_gateway.receipts import schema
from framegate_gateway.receipts.read import Wanted, find, receipts
from framegate_gateway.receipts.retention import ReceiptRetention
from framegate_gateway.receipts.store import ReceiptStore
from support.paths import VECTORS as ALL_VECTORS

VECTORS = ALL_VECTORS / "receipts"
CAMERAS = ("camera.line-1.cam1", "camera.line-1.cam2")
KEPT = gzip.decompress((VECTORS / "receipts-1.jsonl.gz").read_bytes()).splitlines()
"""What version 1 exported of it: receipts with all proofs, and three that wait for the log."""
PEM = (VECTORS / "authorities.pem").read_bytes()
AUTHORITIES = [c.public_bytes(Encoding.DER) for c in x509.load_pem_x509_certificates(PEM)]


@pytest.fixture
def before(tmp_path):
    """A store as version 1 left it: batches, an export's event, a gap, a refused frame, receipts
    that went by the quota, batches that are not in the log, a leaf in no batch.
    """
    script = gzip.decompress((VECTORS / "receipts-1.sql.gz").read_bytes()).decode()
    with sqlite3.connect(tmp_path / "receipts.db") as connection:
        connection.executescript(script)
    connection.close()
    return tmp_path


def exported(store) -> list[bytes]:
    wanted = [Wanted(camera=camera, limit=1000) for camera in CAMERAS]
    return [json.dumps(r).encode() for one in wanted for r in receipts(store, one, AUTHORITIES)]


def test_every_receipt_is_the_same_to_the_byte_and_holds(before):
    store = ReceiptStore(before)
    assert exported(store) == KEPT and len(KEPT) == 15
    root = (VECTORS / "fleet-root.pem").read_bytes()
    for line in KEPT:
        receipt = json.loads(line)
        assert verify_receipt(receipt, root, need_log=False, need_camera=False)
    store.close()


def test_what_was_left_to_do_is_still_to_be_done(before):
    store = ReceiptStore(before)
    assert store.last == store.orphans_end == 23
    unbatched = store.unbatched(100)
    assert [one.number for one in unbatched.leaves] == [23] and unbatched.last.end == 23
    assert [batch.number for batch in store.unlogged()] == [4] and store.count_unlogged() == 1
    assert find(store, "e" * 32).kind == "event"
    kept = {one.device: one for one in ReceiptRetention(store, 2**30).kept()}
    assert kept[CAMERAS[0]].pruned == 6 and kept[CAMERAS[1]].bytes > 0
    store.close()


def test_the_envelopes_are_kept_as_they_left(before):
    with sqlite3.connect(before / "receipts.db") as connection:
        query = "SELECT id, envelope FROM leaves WHERE kind = 'verdict'"
        envelopes = connection.execute(query).fetchall()
    connection.close()
    store = ReceiptStore(before)
    assert len(envelopes) > 10
    assert all(find(store, identifier).envelope == kept for identifier, kept in envelopes)
    store.close()


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_start_that_is_cut_off_goes_on_where_it_was(before, steps, monkeypatch):
    monkeypatch.setattr(schema, "_AT_ONCE", 4)
    real, done = schema._leaves_step, []

    def cut(connection, writer):
        done.append(1)
        if len(done) > steps:
            raise KeyboardInterrupt
        return real(connection, writer)

    monkeypatch.setattr(schema, "_leaves_step", cut)
    with sqlite3.connect(before / "receipts.db") as connection, pytest.raises(KeyboardInterrupt):
        schema.bring_up(connection)
    connection.close()
    monkeypatch.setattr(schema, "_leaves_step", real)
    store = ReceiptStore(before)
    assert exported(store) == KEPT
    store.close()


def test_nothing_of_the_old_form_is_left_and_a_second_start_changes_nothing(before):
    for _ in range(2):
        store = ReceiptStore(before)
        with store.reading() as connection:
            names = {r[0] for r in connection.execute("SELECT name FROM sqlite_master")}
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        store.close()
        assert version == schema.VERSION
        assert not any("before" in name for name in names) and "leaves_of_device" not in names


def test_a_store_of_version_0_never_counted(before):
    with sqlite3.connect(before / "receipts.db") as connection:
        connection.executescript("DROP TABLE usage; PRAGMA user_version = 0")
    connection.close()
    store = ReceiptStore(before)
    kept = {one.device: one for one in ReceiptRetention(store, 2**30).kept()}
    assert set(kept) == set(CAMERAS) and kept[CAMERAS[0]].bytes > 0
    assert exported(store) == KEPT
    store.close()


def test_a_store_of_a_later_version_is_not_touched(tmp_path):
    with sqlite3.connect(tmp_path / "receipts.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FramegateError) as caught:
        ReceiptStore(tmp_path)
    assert caught.value.reason == Reason.RECEIPT and "version 99" in str(caught.value)
    with sqlite3.connect(tmp_path / "receipts.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
