"""A registry moves from a file to a database and back, is checked, backed up and restored there."""

import dataclasses

import pytest

from framegate.errors import Malformed, Reason, Refused
from framegate_controller.record.check import check_record
from framegate_controller.record.ledger import prove, prove_growth
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.backup import Source, take_backup
from framegate_controller.restoration.restore import restore_backup
from framegate_controller.store.database import open_store
from framegate_controller.store.transfer import TRANSIENT, copy_rows, move_rows
from support.registries import Registry

pytestmark = pytest.mark.slow

ENTRIES = 37


@pytest.fixture
def registry(tmp_path):
    made = Registry(tmp_path / "fleet")
    made.grow(ENTRIES)
    return made


def checked(at: StoreAt, keys):
    store = open_store(at)
    try:
        with store.reading() as tx:
            return check_record(tx, keys)
    finally:
        store.close()


def behind(store, statement: str) -> None:
    """What somebody with the database does."""
    with store.engines.begin(writes=True).connection as connection:
        connection.exec_driver_sql(statement)
        connection.commit()


def test_a_moved_registry_has_every_row_and_its_proofs_verify(registry, new_database):
    file, there = StoreAt(registry.folder), StoreAt(registry.folder, new_database())
    before = open_store(file)
    with before.writing() as tx:
        proofs = {n: prove(tx, registry.keys, n) for n in range(0, tx.log.size(), 7)}
        size, revision = tx.log.size(), tx.revision()
    rows = move_rows(file, there)
    assert rows > 2 * ENTRIES
    assert checked(file, registry.keys) == checked(there, registry.keys)
    after = open_store(there)
    with after.writing() as tx:
        assert (tx.log.size(), tx.revision()) == (size, revision)
        for number, proof in proofs.items():
            assert prove(tx, registry.keys, number).path == proof.path
            assert prove(tx, registry.keys, number).entry == proof.entry
        tx.raise_revision()
    with before.writing() as tx:
        growth = prove_growth(tx, 5, size)
    with after.reading() as tx:
        assert prove_growth(tx, 5, size) == growth
    before.close()
    after.close()


def test_what_controllers_share_while_they_run_goes_nowhere(registry, new_database):
    source = open_store(StoreAt(registry.folder))
    behind(source, "INSERT INTO waiting VALUES ('OpenFlow', x'00', 'a code', 5)")
    target = open_store(StoreAt(registry.folder, new_database()))
    copy_rows(source, target)
    with target.engines.begin(writes=False).connection as connection:
        for table in TRANSIENT:
            count = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            assert count == 0, table
    source.close()
    target.close()


def test_a_registry_is_not_moved_over_another(registry, new_database):
    there = StoreAt(registry.folder, new_database())
    move_rows(StoreAt(registry.folder), there)
    with pytest.raises(Refused) as refused:
        move_rows(StoreAt(registry.folder), there)
    assert refused.value.reason == Reason.CONFLICT


def test_a_row_that_the_database_does_not_take_moves_nothing(registry, new_database):
    source = open_store(StoreAt(registry.folder))
    behind(source, "INSERT INTO settings VALUES ('long', char(0) || 'x')")
    target = open_store(StoreAt(registry.folder, new_database()))
    with pytest.raises(Malformed):
        copy_rows(source, target)
    with target.reading() as tx:
        assert tx.log.size() == 0
        assert tx.policies.current() is None
    source.close()
    target.close()


EDITS = {
    "an entry is changed": "UPDATE log_entries SET entry = CAST(entry || ' ' AS BLOB) WHERE id=11",
    "an entry is missing": "DELETE FROM log_entries WHERE id = 11",
    "the end is missing": f"DELETE FROM log_entries WHERE id > {ENTRIES - 5}",
    "a leaf is changed": "UPDATE log_nodes SET hash = zeroblob(32) WHERE level=0 AND position=3",
    "a node is changed": "UPDATE log_nodes SET hash = zeroblob(32) WHERE level=2 AND position=1",
    "a node is missing": "DELETE FROM log_nodes WHERE level = 1 AND position = 4",
    "a head is of another size": "UPDATE log_heads SET size = size - 1",
    "a head is another's word": "UPDATE log_heads SET envelope = x'7b7d'",
}


@pytest.mark.parametrize("what", EDITS)
def test_n70_an_edited_record_is_not_whole(registry, what):
    at = StoreAt(registry.folder)
    assert checked(at, registry.keys).entries >= ENTRIES
    store = open_store(at)
    behind(store, EDITS[what])
    store.close()
    with pytest.raises((Malformed, Refused)) as refused:
        checked(at, registry.keys)
    assert refused.value.reason in {Reason.AUDIT, Reason.MALFORMED}


def test_n148_a_backup_of_a_database_is_restored_to_another_with_revisions_raised(
    registry, new_database, tmp_path
):
    there = StoreAt(registry.folder, new_database())
    move_rows(StoreAt(registry.folder), there)
    archive = tmp_path / "backup.tar"
    manifest = take_backup(Source(at=there, passphrase_file=None), archive)
    fresh = StoreAt(tmp_path / "new", new_database())
    ask = dataclasses.replace(
        registry.ask(), at=fresh, passphrase_file=registry.passphrase, seen=()
    )
    restored = restore_backup(archive, ask)
    assert restored.begun.restoration.revision > manifest.revision
    assert not fresh.file.exists()
    assert (fresh.state / "keys" / "root.pem").exists()
    assert checked(fresh, registry.keys).entries > manifest.size
    with pytest.raises(Refused):  # and not over it once more
        restore_backup(archive, ask)
    as_file = dataclasses.replace(ask, at=StoreAt(tmp_path / "file"))
    restore_backup(archive, as_file)
    assert checked(as_file.at, registry.keys).entries == checked(fresh, registry.keys).entries
