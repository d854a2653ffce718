"""What a transaction says it will ask soon: it finds what it would have found by asking then."""

import dataclasses

import pytest

from framegate.errors import Reason, Refused
from framegate.identity.names import DeviceId
from framegate.machines.lifecycle import State
from framegate.registry.device import Device, TlsKey
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import Moved
from framegate_controller.store.ports.controllers import READS, KnownController
from support.invited_camera import CAMERA as INVITED_CAMERA

KEY = b"k" * 32
CAMERA = dataclasses.replace(
    INVITED_CAMERA, tls=TlsKey(public=b"t", spki_sha256=KEY, certificate_expires_ms=5)
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def store(request, tmp_path):
    """An empty registry."""
    if request.param == "sqlite":
        registry = open_registry(tmp_path / "registry.db")
        yield registry
        registry.close()
    else:
        new_database = request.getfixturevalue("new_database")
        yield request.getfixturevalue("opened")(new_database())


@pytest.fixture
def camera(store):
    with store.writing() as tx:
        tx.devices.add(CAMERA)
    return store


def changed(tx) -> Device:
    machine = tx.devices.get(CAMERA.id)
    return tx.devices.put(dataclasses.replace(machine, state=State.QUARANTINED))


def test_machines_that_were_expected_are_found_by_name_and_key_and_others_are_not(camera):
    with camera.reading() as tx:
        tx.devices.expect([CAMERA.id, "camera.line-1.cam2"], keys=[KEY, b"other"])
        assert tx.devices.get(CAMERA.id) == tx.devices.by_tls_key(KEY) == CAMERA
        assert tx.devices.get("camera.line-1.cam2") is tx.devices.by_tls_key(b"other") is None
        assert tx.devices.get(CAMERA.id) == tx.devices.by_tls_key(KEY) == CAMERA, "asked again"


@pytest.mark.parametrize("change", ["put", "removed", "added"])
def test_a_machine_that_was_expected_and_then_changed_is_found_as_it_is(camera, change):
    other = dataclasses.replace(CAMERA, id=DeviceId("camera.line-1.cam2"), name="cam2", tls=None)
    with camera.writing() as tx:
        tx.devices.expect([CAMERA.id, other.id], keys=[KEY])
        tx.revision()  # they were looked up by now, where they are together
        if change == "put":
            changed(tx)
        elif change == "removed":
            tx.devices.remove(CAMERA.id)
        else:
            tx.devices.add(other)
        found, by_key = tx.devices.get(CAMERA.id), tx.devices.by_tls_key(KEY)
        assert found == by_key
        assert (found is None) is (change == "removed")
        assert found is None or (found.state == State.QUARANTINED) is (change == "put")
        assert (tx.devices.get(other.id) is not None) is (change == "added")


def test_a_firmware_revision_that_was_expected_is_the_one_of_now_and_none_once_it_is_raised(store):
    with store.writing() as tx:
        tx.expect_firmware_revision()
        before = tx.firmware_revision()
        assert tx.raise_firmware_revision() == before + 1
        assert tx.firmware_revision() == 0, "what counts is not remembered by it"
    with store.reading() as tx:
        tx.expect_firmware_revision()
        assert tx.firmware_revision() == tx.firmware_revision() == before + 1


def test_a_revision_is_raised_once_for_all_changes_of_a_transaction(store):
    with store.writing() as tx:
        before = tx.revision()
        for _ in range(3):
            tx.raise_revision()
        assert tx.revision() == before + 1
        assert tx.leap(0, 10) == before + 11
        tx.raise_revision()
        assert tx.revision() == before + 12


def test_whether_all_controllers_read_a_form_is_what_it_is_after_one_that_does_not_came(store):
    old = KnownController("old", (), 0, READS - 1)
    with store.writing() as tx:
        tx.controllers.expect(READS)
        tx.revision()
        tx.controllers.put(dataclasses.replace(old, seen_ms=tx.now_ms))
        assert not tx.controllers.all_read(READS)
        tx.controllers.put(KnownController("old", (), tx.now_ms, READS))
        assert tx.controllers.all_read(READS) and tx.controllers.all_read(READS)


def test_a_change_that_another_made_undoes_the_whole_of_a_transaction_at_its_end(camera):
    with camera.reading() as tx:
        looked = tx.devices.get(CAMERA.id)
    with camera.writing() as tx:
        changed(tx)
        before = tx.revision()
    with pytest.raises(Moved), camera.writing() as tx:
        tx.raise_revision()
        tx.devices.put(dataclasses.replace(looked, state=State.TRUSTED))
    with camera.reading() as tx:
        assert tx.devices.get(CAMERA.id).state == State.QUARANTINED
        assert tx.revision() == before


def test_a_challenge_that_was_spent_undoes_the_whole_of_a_transaction_at_its_end(camera):
    with camera.writing() as tx:
        tx.challenges.spend(b"once", 2_000)
    with pytest.raises(Refused) as refused, camera.writing() as tx:
        changed(tx)
        tx.challenges.spend(b"once", 2_000)
    assert refused.value.reason == Reason.SESSION_UNKNOWN
    with camera.reading() as tx:
        assert tx.devices.get(CAMERA.id).state == State.INVITED
