"""Fixtures shared by all tests: a verifier with a clock of its own, the forge, and the real data where it is present."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from framegate.identity.names import Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.record.entry import Act
from framegate.registry.device import Device
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet
from framegate_controller.context import Fleet
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.fleet.devices import change_state
from framegate_controller.fleet.makers import add_maker
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.people.policies import found_policy
from framegate_controller.store.database import Database
from framegate_controller.store.ports import EntryQuery
from framegate_controller.timing import Timing
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.machine.tpm import TpmMaker

settings.register_profile("ci", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("ci")


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        import time

        self.now = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


@pytest.fixture(scope="session")
def maker() -> TpmMaker:
    return TpmMaker.found()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FleetKeys:
    return found_fleet(tmp_path_factory.mktemp("fleet") / "keys", "plant")


class Bench:
    """A verifier with two firmware profiles and one trusted TPM maker, and shortcuts through its protocol."""

    def __init__(self, store: Database, fleet: Fleet, maker: TpmMaker) -> None:
        self.store, self.fleet, self.maker = store, fleet, maker
        self.verifier = Verifier(store, fleet)

    @property
    def keys(self) -> FleetKeys:
        return self.fleet.keys

    @property
    def clock(self) -> Clock:
        assert isinstance(self.fleet.clock, Clock)
        return self.fleet.clock

    def invite(self, name: str = "cam1", *, kind: Kind = Kind.CAMERA, ek: bytes | None = None, code: bytes = b"\x01" * 16, life_s: int = 3600, replaces: bool = False) -> bytes:
        invitation = Invitation(kind=kind, zone="line-1", name=name, profile=f"simulated-{kind}", ek_sha256=ek, code=code, life_s=life_s, replaces=replaces)
        with self.store.writing() as tx:
            tx.act = Act(actor="operator.anna")
            invite(tx, invitation)
        return code

    def forge(self, kind: str = "camera") -> Forge:
        return Forge(self.maker, Firmware(f"simulated-{kind}"))

    def join(self, forge: Forge, code: bytes = b"", peer: str = "ipv4:10.0.0.1") -> Answer:
        hello = forge.hello(code)
        made = self.verifier.begin_join(hello, peer)
        mac, proof = forge.answer(self.fleet.digest, hello, made.challenge)
        return self.verifier.complete_join(made.state, mac, proof)

    def enrol(self, name: str = "cam1", kind: Kind = Kind.CAMERA) -> Forge:
        forge = self.forge(kind)
        code = self.invite(name, kind=kind, ek=forge.ek_sha256, code=name.encode().ljust(16, b"."))
        answer = self.join(forge, code)
        assert answer.state == "trusted", answer
        return forge

    def attest(self, forge: Forge, device: str = "camera.line-1.cam1", *, known_log: bool = False) -> Answer:
        hello = forge.attest_hello(known_log=known_log)
        made = self.verifier.begin_attest(hello, device)
        _, proof = forge.answer(self.fleet.digest, hello, made.challenge, join=False)
        return self.verifier.complete_attest(made.state, proof, device)

    def device(self, device: str = "camera.line-1.cam1") -> Device:
        with self.store.reading() as tx:
            found = tx.devices.get(device)
            assert found is not None
            return found

    def state(self, device: str = "camera.line-1.cam1") -> str:
        return self.device(device).state

    def move(self, edge: Edge, device: str = "camera.line-1.cam1") -> None:
        """Take an edge as an operator does."""
        with self.store.writing() as tx:
            tx.act = Act(actor="operator.anna")
            found = tx.devices.get(device)
            assert found is not None
            change_state(tx, found, edge)

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """What somebody with the database file does behind the controller's back."""
        with contextlib.closing(sqlite3.connect(self.store.path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def events(self, name: str = "", device: str = "") -> list[dict[str, object]]:
        """Entries of the record, oldest first."""
        with self.store.reading() as tx:
            found = tx.log.entries(EntryQuery(event=name, device=device), first=0, below=tx.log.size(), most=10_000)
            return [json.loads(e.entry) for e in found]


@pytest.fixture
def bench(tmp_path: Path, keys: FleetKeys, maker: TpmMaker) -> Iterator[Bench]:
    clock = Clock()
    store = Database(tmp_path / "registry.db", clock)
    fleet = Fleet(ring=FolderKeyRing(keys), timing=Timing(), clock=clock, controller="controller-1")
    with store.writing() as tx:
        found_policy(tx, keys)
        for kind in ("camera", "gateway"):
            tx.evidence.add_allowlist(allowlist_of(f"simulated-{kind}", Firmware("x").release), clock())
            add_profile(tx, keys, profile_toml(Firmware(f"simulated-{kind}"), f"simulated-{kind}").encode())
        add_maker(tx, maker.certificate)
    yield Bench(store, fleet, maker)
    store.close()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real boot logs and certificates: FRAMEGATE_REAL_DATA, or ../shared/data beside the checkout."""
    named = os.environ.get("FRAMEGATE_REAL_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "attestation" / "MANIFEST.json").exists():
        pytest.skip(f"real boot logs are not at {folder}; set FRAMEGATE_REAL_DATA to run against them")
    return folder


@pytest.fixture
def pkcs11_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A SoftHSM token of this test alone, as `init --ca-keys` names it; its PIN is in `pin` of the test's folder."""
    module = "/usr/lib/softhsm/libsofthsm2.so"
    if shutil.which("softhsm2-util") is None or not Path(module).exists():
        pytest.skip("softhsm2 is not installed: apt-get install softhsm2")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    pin = tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text("123456\n")
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "fleet", "--pin", "123456", "--so-pin", "654321"], check=True, capture_output=True)
    return f"pkcs11:module={module};token=fleet;pin-file={pin}"
