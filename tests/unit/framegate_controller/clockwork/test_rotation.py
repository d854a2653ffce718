"""Rotation of the CAs, through restarts, lost transactions and every kind of key."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate.identity.names import DeviceId
from framegate.machines.lifecycle import State
from framegate.record.entry import Act
from framegate.registry.device import Standing
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.issue import issue_operator, issue_signing
from framegate_controller.ca.keys import ISSUING, SIGNING, FleetKeys, SigningKey
from framegate_controller.ca.open import found_fleet, load_fleet
from framegate_controller.clockwork.rotation import LIFE, move_on, plan_rotation, rotate, tick
from framegate_controller.context import Fleet
from framegate_controller.events.notices import AccessChanged, EverybodyAttests
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import EntryQuery
from framegate_controller.timing import Timing
from framegate_controller.verbs.ca import ca_rows
from framegate_simulators.fixtures.access import camera_of
from support.ca_keys import works
from support.founded import found_registry
from support.refusals import refused

pytestmark = pytest.mark.slow  # keys are made in tokens and TPMs

CAMERA = DeviceId("camera.line-1.cam1")


class House:
    """A fleet with a trusted machine, whose clock the test moves."""

    def __init__(self, tmp_path, key_store: str = "") -> None:
        self.folder, self.timing = tmp_path / "keys", Timing()
        self.now = int(datetime.now(UTC).timestamp() * 1000)
        self.database = open_registry(found_registry(tmp_path / "registry.db"), lambda: self.now)
        self.open(found_fleet(self.folder, "plant", key_store))
        with self.database.writing() as tx:
            tx.devices.add(camera_of("cam1", State.TRUSTED, standing=Standing(result_ms=self.now)))

    def open(self, keys: FleetKeys) -> None:
        """As a controller does at its start."""
        self.fleet = Fleet(
            ring=FolderKeyRing(keys),
            timing=self.timing,
            clock=lambda: self.now,
            controller="controller-1",
        )

    @property
    def keys(self) -> FleetKeys:
        return self.fleet.keys

    def later(self, seconds: float) -> None:
        self.now += int(seconds * 1000)

    def attested(self) -> None:
        with self.database.writing() as tx:
            tx.devices.put(replace(tx.devices.get(CAMERA), standing=Standing(result_ms=self.now)))

    def rotate(self, label: str = "device-ca") -> None:
        with self.database.writing() as tx:
            tx.act = Act(actor="operator.anna")
            rotate(tx, self.fleet, label)

    def tick(self) -> list[str]:
        with self.database.writing() as tx:
            return tick(tx, self.fleet)

    def states(self, label: str = "device-ca") -> list[str]:
        with self.database.reading() as tx:
            return [r.state for r in ca_rows(tx, self.keys) if r.label == label]

    def events(self) -> set[str]:
        with self.database.reading() as tx:
            return {
                e.event
                for e in tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=100)
            }

    def certificate(self):
        key = ec.generate_private_key(ec.SECP256R1())
        return issue_operator(
            self.keys, "anna", key.public_key(), timedelta(hours=1), from_ms(self.now)
        )


@pytest.fixture
def house(tmp_path):
    running = House(tmp_path)
    yield running
    running.database.close()


def test_the_next_ca_signs_only_once_every_trusted_machine_has_heard_of_it(house):
    old = house.keys.issuing["device-ca"].certificate
    house.later(10)
    house.rotate()
    assert (
        house.states() == ["present", "coming"]
        and house.keys.issuing["device-ca"].certificate == old
    )
    assert (
        len(house.keys.intermediates) == len(ISSUING) + 1
    )  # everybody who attests now is told of both
    house.later(3600)
    assert house.tick() == [] and house.states() == [
        "present",
        "coming",
    ]  # cam1 has not been heard of: it waits, however long
    house.attested()
    assert house.tick() == ["device-ca: the new one signs"]
    assert (
        house.states() == ["present", "gone"] and house.keys.issuing["device-ca"].certificate != old
    )
    assert (
        len(house.keys.intermediates) == len(ISSUING) + 1
    )  # what the old one signed still verifies


def test_what_the_old_ca_signed_verifies_until_it_is_forgotten(house):
    before = house.certificate()
    house.rotate("operator-ca")
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    house.tick()
    after = house.certificate()
    for certificate in (before, after):
        assert (
            verify_certificate(
                certificate,
                Purpose.OPERATOR,
                house.keys.intermediates,
                house.keys.root.certificate,
                from_ms(house.now),
            ).common_name
            == "operator.anna"
        )
    house.later(LIFE["operator-ca"].total_seconds() + 61)
    assert house.tick() == ["operator-ca: the old one is forgotten"]
    with pytest.raises(FramegateError):
        verify_certificate(
            before,
            Purpose.OPERATOR,
            house.keys.intermediates,
            house.keys.root.certificate,
            before.not_valid_before_utc,
        )


def test_a_second_rotation_waits_for_the_first_and_unknown_cas_are_said_so(house):
    house.rotate()
    assert refused(house.rotate) == Reason.CONFLICT
    for label in ("root", "", "x\x1b", "grant"):
        assert refused(lambda label=label: house.rotate(label)) == Reason.USAGE
        with house.database.reading() as tx:
            assert (
                refused(lambda label=label, tx=tx: plan_rotation(tx, house.fleet, label))
                == Reason.USAGE
            )


def test_a_plan_changes_nothing_and_says_what_will_be(house):
    before = sorted(p.name for p in house.folder.iterdir())
    with house.database.reading() as tx:
        steps = plan_rotation(tx, house.fleet, "gateway-ca")
    assert (
        len(steps) == 5
        and "1 trusted machines" in steps[1]
        and sorted(p.name for p in house.folder.iterdir()) == before
    )


def test_a_restart_in_every_stage_goes_on_where_it_was(house):
    house.rotate()
    house.open(load_fleet(house.folder))
    assert house.states() == ["present", "coming"]
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    house.tick()
    signer = house.keys.issuing["device-ca"].certificate
    house.open(load_fleet(house.folder))
    assert (
        house.states() == ["present", "gone"]
        and house.keys.issuing["device-ca"].certificate == signer
    )


@pytest.mark.parametrize("kind", ["file", "token"])
def test_a_controller_that_died_between_the_two_steps_of_a_switch(tmp_path, request, kind):
    house = House(tmp_path, request.getfixturevalue("token") if kind == "token" else "")
    house.rotate()
    coming = house.keys.coming["device-ca"].certificate
    house.keys.key_store.rename("device-ca.next", "device-ca")  # and here the power went
    keys = load_fleet(house.folder)
    assert keys.issuing["device-ca"].certificate == coming and not keys.coming
    works(keys)
    house.database.close()


def test_a_rotation_whose_transaction_was_lost_still_ends(house):
    with pytest.raises(Stop), house.database.writing() as tx:
        rotate(tx, house.fleet, "device-ca")
        raise Stop
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    assert house.tick() == ["device-ca: the new one signs"]


class Stop(Exception): ...


def test_keys_change_for_others_only_once_the_transaction_is_committed(house):
    before = house.keys
    with house.database.writing() as tx:
        rotate(tx, house.fleet, "device-ca")
        assert house.keys is before
    assert house.keys is not before and "device-ca" in house.keys.coming and not before.coming
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    before = house.keys
    with house.database.writing() as tx:
        assert (
            tick(tx, house.fleet)
            and house.keys.issuing["device-ca"].certificate
            == before.issuing["device-ca"].certificate
        )
    assert house.keys.issuing["device-ca"].certificate == before.coming["device-ca"].certificate


@pytest.mark.parametrize("kind", ["file", "token"])
def test_a_switch_whose_transaction_was_lost_is_not_done_twice(tmp_path, request, kind):
    house = House(tmp_path, request.getfixturevalue("token") if kind == "token" else "")
    old = house.keys.issuing["device-ca"].certificate
    house.rotate()
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    with pytest.raises(Stop), house.database.writing() as tx:
        assert tick(tx, house.fleet) == ["device-ca: the new one signs"]
        raise Stop
    assert house.states() == ["present", "coming"]  # nobody saw it
    assert (
        house.tick() == []
        and house.states() == ["present", "gone"]
        and house.keys.issuing["device-ca"].certificate != old
    )
    works(house.keys)
    house.database.close()


def test_a_switch_that_failed_half_way_is_gone_on_with(house, monkeypatch):
    house.rotate()
    house.later(house.timing.interval_ms / 1000)
    house.attested()

    def full(*_):
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr("framegate_controller.ca.generations._take_place", full)
        with pytest.raises(OSError):
            house.tick()
    assert house.tick() == ["device-ca: the new one signs"] and house.states() == [
        "present",
        "gone",
    ]
    assert len(list(house.folder.glob("device-ca.old-*.pem"))) == 1
    works(house.keys)


def test_another_rotation_waits_for_machines_though_its_transaction_was_lost(house):
    """What the store remembers of the rotation before says nothing of this one."""
    house.rotate()
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    house.tick()
    house.later(3600)
    with pytest.raises(Stop), house.database.writing() as tx:
        rotate(tx, house.fleet, "device-ca")
        raise Stop
    house.later(house.timing.interval_ms / 1000)
    assert "device-ca: the new one signs" not in house.tick() and "coming" in house.states()


def test_a_look_that_moves_nothing_writes_nothing_and_one_that_does_tells_everybody(house):
    with house.database.writing():
        assert move_on(house.database, house.fleet) == ()  # it does not wait for its turn to write
    house.rotate()
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    assert move_on(house.database, house.fleet) == (
        AccessChanged(),
        EverybodyAttests(),
    ) and house.states() == ["present", "gone"]
    house.later(LIFE["device-ca"].total_seconds() + 61)
    assert (
        move_on(house.database, house.fleet)
        and house.states() == ["present"]
        and "ca-forgotten" in house.events()
    )


@pytest.mark.parametrize("kind", ["token", "tpm"])
def test_rotation_in_a_token_and_in_a_tpm(tmp_path, request, kind):
    house = House(tmp_path, request.getfixturevalue(kind))
    old = house.keys.issuing["operator-ca"].certificate
    house.rotate("operator-ca")
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    assert house.tick() == ["operator-ca: the new one signs"]
    house.open(load_fleet(house.folder))
    assert house.keys.issuing["operator-ca"].certificate != old
    works(house.keys)
    house.database.close()


def test_every_step_is_an_entry(house):
    house.rotate()
    house.later(house.timing.interval_ms / 1000)
    house.attested()
    house.tick()
    assert {"ca-made", "ca-rotated"} <= house.events()


def test_signing_keys_are_certified_anew_before_their_certificate_ends(house):
    signer = house.keys.signing["log"]
    soon = issue_signing(
        house.keys.root,
        "plant",
        "log",
        signer.key.public_key(),
        from_ms(house.now) - timedelta(days=500),
    )
    (house.folder / "log.pem").write_bytes(SigningKey(signer.key, soon).pem)
    house.open(load_fleet(house.folder))
    assert len(house.tick()) == 1 and house.tick() == []
    assert "key-certified" in house.events()
    again = load_fleet(house.folder).signing["log"]
    assert (
        again.key.public_key() == signer.key.public_key()
        and again.certificate.not_valid_after_utc > from_ms(house.now) + timedelta(days=700)
    )
    assert set(house.keys.signing) == set(SIGNING)


def test_signing_keys_that_a_clock_a_year_ahead_had_certified_anew_count_once_it_is_right(house):
    now = house.now
    house.now = now + int(timedelta(days=400).total_seconds() * 1000)
    assert len(house.tick()) == len(SIGNING)
    house.now = now
    for label, purpose in SIGNING.items():
        certificate = house.keys.signing[label].certificate
        verify_certificate(certificate, purpose, (), house.keys.root.certificate, from_ms(now))
        assert house.keys.signing[label].dated_ms(now) == now
