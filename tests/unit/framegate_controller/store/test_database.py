"""The store: values come out as they went in, and transactions are whole or nothing."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from framegate.errors import Reason, Refused, Unavailable
from framegate.ima.replay import ImaPrefix
from framegate.machines.lifecycle import State
from framegate.machines.rollout import Seen
from framegate.record.fleet_events import ZoneThawed
from framegate.record.merkle import Frontier
from framegate.registry.device import Device
from framegate.registry.rollout import (
    RolloutDevice,
)
from framegate.registry.zone import Zone
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import EntryQuery, Moved
from support.invited_camera import CAMERA
from support.stored_values import BYTES, KEPT, PUT_AGAIN, TakenBack, any_of, put_again

KEYED = ["kind", "name", "state", "tpm", "tls", "baseline", "maintenance_until_ms"]
"""Members of a device whose columns an index has."""
FEW = 25
"""Values of each of fifty records: members are drawn one by one, and so are their edges."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    registry = open_registry(tmp_path_factory.mktemp("store") / "registry.db", lambda: 1_000)
    yield registry
    registry.close()


@pytest.mark.parametrize("cls", KEPT, ids=lambda c: c.__name__)
@settings(max_examples=FEW)
@given(data=st.data())
@pytest.mark.slow
def test_a_value_comes_out_as_it_went_in(store, cls, data):
    value = data.draw(any_of(cls))
    put, get = KEPT[cls]
    with pytest.raises(TakenBack), store.writing() as tx:
        put(tx, value)
        assert get(tx, value) == value
        raise TakenBack


@given(before=any_of(Device), after=any_of(Device))
def test_a_changed_device_comes_out_as_it_was_put_back(store, before, after):
    before = dataclasses.replace(before, version=min(before.version, 2**62))
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(before)
        put = tx.devices.put(dataclasses.replace(after, id=before.id, version=before.version))
        assert put == dataclasses.replace(after, id=before.id, version=before.version + 1)
        assert tx.devices.get(before.id) == put
        raise TakenBack


@pytest.mark.parametrize("cls", PUT_AGAIN, ids=lambda c: c.__name__)
@settings(max_examples=FEW)
@given(data=st.data())
@pytest.mark.slow
def test_a_changed_value_takes_the_place_of_the_one_before(store, cls, data):
    before, drawn = data.draw(any_of(cls)), data.draw(any_of(cls))
    after = dataclasses.replace(drawn, **{k: getattr(before, k) for k in PUT_AGAIN[cls]})
    put, get = KEPT[cls]
    with pytest.raises(TakenBack), store.writing() as tx:
        put(tx, before)
        put_again(tx, cls, after)
        assert get(tx, after) == after
        raise TakenBack


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5), st.integers(0, 3))
def test_an_ima_list_comes_out_in_one_piece_or_not_at_all(store, pieces, missing):
    with pytest.raises(TakenBack), store.writing() as tx:
        for start, piece in enumerate(pieces):
            tx.evidence.keep_ima("camera.line-1.cam1", 7, 1, start, 1, piece)
        assert tx.evidence.ima_list("camera.line-1.cam1", 7, 1, len(pieces)) == b"".join(pieces)
        assert tx.evidence.ima_list("camera.line-1.cam1", 7, 1, len(pieces) + 1 + missing) == b""
        raise TakenBack


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
        tx.settings.remove("quorum")
        assert tx.settings.get("quorum") is None
        raise TakenBack


@given(before=any_of(Device), after=any_of(Device), same=st.sets(st.sampled_from(KEYED)))
def test_a_device_of_which_some_stays_as_it_was_comes_out_as_it_was_put_back(
    store, before, after, same
):
    """What an index has is written only where it changed."""
    before = dataclasses.replace(before, version=min(before.version, 2**62))
    kept = {name: getattr(before, name) for name in same}
    after = dataclasses.replace(after, id=before.id, version=before.version, **kept)
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(before)
        put = tx.devices.put(after)
        assert (
            tx.devices.get(before.id)
            == put
            == dataclasses.replace(after, version=before.version + 1)
        )
        with pytest.raises(Moved):
            tx.devices.put(after)
        assert tx.devices.get(before.id) == put
        raise TakenBack


def test_a_device_that_somebody_else_changed_is_not_put_back(tmp_path):
    store = open_registry(tmp_path / "registry.db", lambda: 1_000)
    with store.writing() as tx:
        tx.devices.add(CAMERA)
    with store.reading() as tx:
        looked = tx.devices.get(CAMERA.id)
    assert looked == CAMERA
    with store.writing() as tx:
        tx.devices.put(dataclasses.replace(looked, state=State.QUARANTINED))
    with pytest.raises(Moved) as refused, store.writing() as tx:
        tx.devices.put(dataclasses.replace(looked, state=State.TRUSTED))
    assert refused.value.reason == Reason.CONFLICT
    with store.reading() as tx:
        device = tx.devices.get(CAMERA.id)
    assert (device.state, device.version) == (State.QUARANTINED, 1)
    with pytest.raises(Moved), store.writing() as tx:  # and one that is gone is no other's
        tx.devices.remove(CAMERA.id)
        tx.devices.put(device)
    store.close()


WRITES = {
    "a device": lambda tx: tx.devices.add(CAMERA),
    "a changed device": lambda tx: tx.devices.put(CAMERA),
    "an event": lambda tx: tx.record(ZoneThawed(zone="line-1", why="w")),
    "the revision": lambda tx: tx.raise_revision(),
    "the firmware revision": lambda tx: tx.raise_firmware_revision(),
    "a zone": lambda tx: tx.zones.put(Zone(name="line-1")),
    "a spent challenge": lambda tx: tx.challenges.spend(b"c", 2),
    "a setting": lambda tx: tx.settings.remove("quorum"),
}


@pytest.mark.parametrize("what", WRITES)
def test_what_is_written_in_a_snapshot_is_refused_by_the_database(store, what):
    with pytest.raises(OperationalError, match="readonly"), store.reading() as tx:
        WRITES[what](tx)


def test_an_exception_undoes_all_of_a_transaction_and_the_record_goes_on_where_it_was(tmp_path):
    store = open_registry(tmp_path / "registry.db", lambda: 1_000)
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="first"))
    with store.reading() as tx:
        before = tx.revision(), tx.firmware_revision(), tx.log.size(), tx.log.root()
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(CAMERA)
        tx.record(ZoneThawed(zone="line-1", why="never"))
        tx.raise_revision()
        tx.raise_firmware_revision()
        raise TakenBack
    with store.reading() as tx:
        assert tx.devices.get(CAMERA.id) is None
        assert (tx.revision(), tx.firmware_revision(), tx.log.size(), tx.log.root()) == before
    with store.writing() as tx:
        tx.record(ZoneThawed(zone="line-1", why="second"))
    with store.reading() as tx:
        whys = [e.entry for e in tx.log.entries(EntryQuery(), first=0, below=9, most=9)]
        assert [b"first" in whys[0], b"second" in whys[1], len(whys)] == [True, True, 2]
        assert tx.log.root() == Frontier.resume(2, tx.log.node).root.hex()
    store.close()


def test_reads_see_the_transactions_own_writes_and_snapshots_see_none_of_them(tmp_path):
    store = open_registry(tmp_path / "registry.db", lambda: 1_000)
    with store.writing() as tx:
        tx.devices.add(CAMERA)
        assert tx.devices.find("cam1") == CAMERA
        with store.reading() as other:
            assert other.devices.get(CAMERA.id) is None
    store.close()


def test_nothing_can_be_remembered_under_a_firmware_revision_that_may_be_taken_back(store):
    with pytest.raises(TakenBack), store.writing() as tx:
        assert tx.raise_firmware_revision() == 1
        assert tx.firmware_revision() == 0
        raise TakenBack
    with store.reading() as tx:
        assert tx.firmware_revision() == 0
    with store.writing() as tx:
        tx.raise_firmware_revision()
    with store.reading() as tx:
        assert tx.firmware_revision() == 1


def test_a_challenge_is_spent_once(store):
    with store.writing() as tx:
        tx.challenges.spend(b"once", 2_000)
    with pytest.raises(Refused) as refused, store.writing() as tx:
        tx.challenges.spend(b"once", 2_000)
    assert refused.value.reason == Reason.SESSION_UNKNOWN


def test_a_rollouts_devices_come_with_their_state(store):
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(CAMERA)
        seen = RolloutDevice(rollout="r", device=CAMERA.id, step=1, seen=Seen.FAILED)
        tx.rollouts.put_device(seen)
        assert tx.rollouts.devices("r") == [(seen, State.INVITED)]
        assert (tx.rollouts.failed("r", 0), tx.rollouts.failed("r", 1)) == (0, 1)
        tx.rollouts.seen_anew("r", Seen.FAILED, Seen.WAITING)
        assert tx.rollouts.failed("r", 1) == 0
        raise TakenBack


def test_a_prefix_that_went_in_is_a_prefix_that_comes_out(store):
    prefix = ImaPrefix(3, 1, b"\x01" * 32, 7, 1)
    with pytest.raises(TakenBack), store.writing() as tx:
        tx.devices.add(
            dataclasses.replace(CAMERA, baseline=dataclasses.replace(CAMERA.baseline, ima=prefix))
        )
        assert isinstance(tx.devices.get(CAMERA.id).baseline.ima, ImaPrefix)
        raise TakenBack


def damaged(path, page: int, by: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * page)
        file.write(by)


@pytest.mark.parametrize("by", [bytes(4096), b"\xa5" * 4096], ids=["zeros", "noise"])
def test_n85_a_damaged_page_is_said_in_words_and_nothing_is_served_from_it(tmp_path, by):
    path = tmp_path / "registry.db"
    registry = open_registry(path, lambda: 1_000)
    with registry.writing() as tx:
        for number in range(500):
            tx.record(ZoneThawed(zone="line-1", why=f"entry {number}"))
    registry.require_sound()
    registry.close()
    damaged(path, path.stat().st_size // 4096 // 2, by)
    with pytest.raises(Unavailable) as refused:
        opened = open_registry(path, lambda: 1_000)
        opened.require_sound()
    assert "restore" in refused.value.failures[0].hint


def test_n85_a_file_that_is_no_registry_is_said_in_words(tmp_path):
    path = tmp_path / "registry.db"
    path.write_bytes(b"x" * 8192)
    with pytest.raises(Unavailable) as refused:
        open_registry(path)
    assert "restore" in refused.value.failures[0].hint


def test_n85_a_disk_that_is_full_undoes_the_transaction_and_says_so(tmp_path):
    registry = open_registry(tmp_path / "registry.db", lambda: 1_000)
    with registry.engines.begin(writes=True).connection as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite's own way to be full
        with pytest.raises(Unavailable) as refused, registry.engines.ours():
            for number in range(10_000):
                connection.exec_driver_sql(
                    "INSERT INTO settings (name, value) VALUES (?, ?)", (f"n{number}", "x" * 999)
                )
        connection.rollback()
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert "make room" in refused.value.failures[0].hint
    with registry.writing() as tx:
        tx.raise_revision()
        assert tx.revision() == 1
    registry.close()
