"""Fixtures shared by all tests: a verifier with a clock of its own, the forge, and the real
data where it is present.
"""

import ctypes
import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from framegate_controller.ca import open as ca_open
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet
from framegate_controller.context import Fleet
from framegate_controller.fleet.makers import add_maker
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.people.policies import found_policy
from framegate_controller.store.database import open_registry
from framegate_controller.timing import Timing
from framegate_host.process_memory import PR_SET_DUMPABLE
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.machine.tpm import TpmMaker
from support.bench import Bench
from support.clock import Clock
from support.in_memory import folder_in_memory, put_files_of_this_run_into
from support.lanes import PLANTS, Lanes
from support.paths import ROOT
from support.standstill import TIMES, Standstill

IN_MEMORY = pytest.StashKey[Path]()

pytest_plugins = [
    "support.access",
    "support.audit_log",
    "support.batches",
    "support.boards",
    "support.bus",
    "support.ca_keys",
    "support.engine",
    "support.fake_broker",
    "support.fleet_port",
    "support.frames",
    "support.front_desk",
    "support.issued",
    "support.line",
    "support.machine_changes",
    "support.mill",
    "support.mlserver",
    "support.models",
    "support.mosquitto",
    "support.office",
    "support.plates",
    "support.playbooks",
    "support.postgres",
    "support.openid",
    "support.other_sites",
    "support.receipts",
    "support.registrations",
    "support.reports",
    "support.site",
    "support.spots",
    "support.swtpm_machine",
    "support.training",
    "support.vault",
    "support.walk",
    # these build on others
    "support.console",
    "support.decided",
    "support.chromium",
]


def pytest_configure(config: pytest.Config) -> None:
    """What a run writes stands in memory where there is room: a tenth less work, no wear. One whose
    tests have a limit has one itself.
    """
    if hasattr(config, "workerinput"):
        return
    if (folder := folder_in_memory()) is not None:
        put_files_of_this_run_into(folder)
        config.stash[IN_MEMORY] = folder
    limit_s = float(config.getini("faulthandler_timeout") or 0)
    if limit_s and config.getoption("dist", "no") != "no":
        config.pluginmanager.register(Standstill(limit_s * TIMES), "standstill")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What a run left in memory goes with it, unless somebody may want to look at it."""
    folder = session.config.stash.get(IN_MEMORY, None)
    if folder is not None and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: tests of a plant mostly wait for its clocks. Without what
    is slow nothing waits, and each process more collects all tests once more.
    """
    return len(os.sched_getaffinity(0)) + ("not slow" not in config.option.markexpr)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Plants in two lanes, every other file by itself, in the order that they were collected in."""
    config.option.loadscopereorder = False
    return Lanes(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """What is collected stays to the end, some ten thousand tests and all modules: the garbage
    collector does not look through it again and again. Tests that draw many values gain a seventh
    of their time by it, others next to nothing.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Plants come first, then what is slow: whatever is started last decides when a run ends."""

    def rank(item: pytest.Item) -> tuple[int, int]:
        plants = list(PLANTS)
        if item.path.name in plants:
            return 0, plants.index(item.path.name)
        return (1 if item.get_closest_marker("slow") else 2), 0

    items.sort(key=rank)


settings.register_profile(
    "ci",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def memory_left_open() -> Iterator[None]:
    """A command that a test runs in this process may hide its memory, and with it most of
    /proc/self from every test after it.
    """
    yield
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


@pytest.fixture(scope="session")
def maker() -> TpmMaker:
    """A maker of TPMs, one for the whole run."""
    return TpmMaker.found()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FleetKeys:
    """The keys of one fleet, founded once for the whole run; a test that changes keys founds
    its own. They are an hour old: modules of tests look at the clock before there are any.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ca_open, "datetime", _AnHourAgo)
        return found_fleet(tmp_path_factory.mktemp("fleet") / "keys", "plant")


@pytest.fixture(scope="session")
def hour_ago() -> type:
    """A clock that is an hour behind."""
    return _AnHourAgo


class _AnHourAgo(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) - timedelta(hours=1)


@pytest.fixture(scope="session")
def founded_registry(
    tmp_path_factory: pytest.TempPathFactory, keys: FleetKeys, maker: TpmMaker
) -> Path:
    """A registry with two firmware profiles and one trusted TPM maker, to be copied and never
    opened: its schema is made once a run.
    """
    path = tmp_path_factory.mktemp("registry") / "registry.db"
    store = open_registry(path, clock := Clock())
    with store.writing() as tx:
        found_policy(tx, keys)
        for kind in ("camera", "gateway"):
            tx.evidence.add_allowlist(
                allowlist_of(f"simulated-{kind}", Firmware("x").release), clock()
            )
            add_profile(
                tx, keys, profile_toml(Firmware(f"simulated-{kind}"), f"simulated-{kind}").encode()
            )
        add_maker(tx, maker.certificate)
    store.close()
    return path


@pytest.fixture
def bench(
    tmp_path: Path,
    founded_registry: Path,
    keys: FleetKeys,
    maker: TpmMaker,
    request: pytest.FixtureRequest,
) -> Iterator[Bench]:
    """A verifier with a founded registry of this test alone: a file, or with
    FRAMEGATE_TEST_STORE=postgres a database.
    """
    clock = Clock()
    if os.environ.get("FRAMEGATE_TEST_STORE") == "postgres":
        store = request.getfixturevalue("founded_on_postgres")(clock)
    else:
        store = open_registry(shutil.copy(founded_registry, tmp_path / "registry.db"), clock)
    yield Bench(
        store,
        Fleet(ring=FolderKeyRing(keys), timing=Timing(), clock=clock, controller="controller-1"),
        maker,
    )
    store.close()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real boot logs and certificates: FRAMEGATE_REAL_DATA, or ../shared/data
    beside the checkout.
    """
    named = os.environ.get("FRAMEGATE_REAL_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "attestation" / "MANIFEST.json").exists():
        pytest.skip(
            f"real boot logs are not at {folder}; set FRAMEGATE_REAL_DATA to run against them"
        )
    return folder


@pytest.fixture
def pkcs11_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A SoftHSM token of this test alone, as `init --ca-keys` names it; its PIN is in `pin` of
    the test's folder.
    """
    module = "/usr/lib/softhsm/libsofthsm2.so"
    if shutil.which("softhsm2-util") is None or not Path(module).exists():
        pytest.skip("softhsm2 is not installed: apt-get install softhsm2")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(
        f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    pin = tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text("123456\n")
    subprocess.run(
        [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            "fleet",
            "--pin",
            "123456",
            "--so-pin",
            "654321",
        ],
        check=True,
        capture_output=True,
    )
    return f"pkcs11:module={module};token=fleet;pin-file={pin}"
