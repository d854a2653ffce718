"""Fixtures shared by all tests: a verifier with a clock of its own, the forge, and the real data where it is present."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from framegate.identity.names import Kind
from framegate_controller.ca.keys import FleetKeys, found_fleet
from framegate_controller.fleet.attestation import Answer, Verifier
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.store.database import Database
from framegate_controller.store.evidence import add_allowlist
from framegate_controller.store.registry import add_authority, invite
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

    def __init__(self, verifier: Verifier, clock: Clock, maker: TpmMaker) -> None:
        self.verifier, self.clock, self.maker = verifier, clock, maker

    def invite(self, name: str = "cam1", *, kind: Kind = Kind.CAMERA, ek: bytes | None = None, code: bytes = b"\x01" * 16, life_s: int = 3600) -> bytes:
        with self.verifier.database.transaction() as session:
            profile = f"simulated-{kind}"
            invite(session, kind=kind, zone="line-1", name=name, profile=profile, ek_sha256=ek, code=code, life_s=life_s, actor="operator.anna", now_ms=self.clock())
        return code

    def forge(self, kind: str = "camera") -> Forge:
        return Forge(self.maker, Firmware(f"simulated-{kind}"))

    def join(self, forge: Forge, code: bytes = b"", peer: str = "ipv4:10.0.0.1") -> Answer:
        hello = forge.hello(code)
        made = self.verifier.begin_join(hello, peer)
        mac, proof = forge.answer(self.verifier.fleet, hello, made.challenge)
        from framegate.wire import Challenge

        return self.verifier.complete_join(Challenge.parse(made.challenge).session, mac, proof)

    def enrol(self, name: str = "cam1", kind: Kind = Kind.CAMERA) -> Forge:
        forge = self.forge(kind)
        code = self.invite(name, kind=kind, ek=forge.ek_sha256, code=name.encode().ljust(16, b"."))
        answer = self.join(forge, code)
        assert answer.state == "trusted", answer
        return forge

    def attest(self, forge: Forge, device: str = "camera.line-1.cam1", *, known_log: bool = False) -> Answer:
        hello = forge.attest_hello(known_log=known_log)
        made = self.verifier.begin_attest(hello, device, "ipv4:10.0.0.1")
        from framegate.wire import Challenge

        _, proof = forge.answer(self.verifier.fleet, hello, made.challenge, join=False)
        return self.verifier.complete_attest(Challenge.parse(made.challenge).session, proof, device)

    def state(self, device: str = "camera.line-1.cam1") -> str:
        from framegate_controller.store.tables import Device

        with self.verifier.database.transaction() as session:
            row = session.get(Device, device)
            assert row is not None
            return row.state


@pytest.fixture
def bench(tmp_path: Path, keys: FleetKeys, maker: TpmMaker) -> Iterator[Bench]:
    clock = Clock()
    database = Database(tmp_path / "registry.db", clock)
    with database.transaction() as session:
        for kind in ("camera", "gateway"):
            add_allowlist(session, allowlist_of(f"simulated-{kind}", Firmware("x").release), clock())
            add_profile(session, keys, profile_toml(Firmware(f"simulated-{kind}"), f"simulated-{kind}").encode(), "test", clock())
        add_authority(session, maker.certificate, "test", clock())
    yield Bench(Verifier(database, keys, "controller-1", Timing(), clock), clock, maker)
    database.close()


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
