"""The folder of a release, as the installing guide speaks of it, for every test that follows it."""

import os
import shutil
import subprocess
import sys

import pytest

from framegate_simulators.machine.tpm import TpmMaker
from units.container import BUILD, ROOT, package

sys.path.insert(0, str(ROOT / "scripts"))
from blocks import page_of

PAGE = ROOT / "docs/guides/operators/install.md"
PACKAGES = ("operator", "controller", "agent", "agent-camera", "gateway", "console")


def fetch_block() -> str:
    """What is typed on a machine that has the Internet."""
    blocks = page_of("install.md", PAGE.read_text()).blocks
    (block,) = [b for b in blocks if "--download-only" in b.text]
    return block.text


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """The folder of a release, with Debian's packages carried beside it."""
    folder = BUILD / "release"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in PACKAGES:
        shutil.copy(package(name), folder)
    key = tmp_path_factory.mktemp("key") / "key.pem"
    _key(key, folder / "framegate-release.pem")
    papers = {**os.environ, "OUT": str(folder), "KEY": str(key)}
    subprocess.run([sys.executable, ROOT / "scripts/release.py"], check=True, env=papers, cwd=ROOT)
    fetched = subprocess.run(
        ["bash", "-e", "-c", fetch_block()], cwd=folder, capture_output=True, text=True, check=False
    )
    if fetched.returncode and "Could not resolve" in fetched.stderr:
        pytest.skip("no mirror of Debian's answers")
    assert fetched.returncode == 0, fetched.stdout[-2000:] + fetched.stderr[-2000:]
    for kind, name in (("gateway", "edge-7"), ("camera", "cam-7")):
        base = ROOT / f"firmware_profiles/simulators-{kind}-1.0.0"
        profile = base.with_name(base.name + ".toml").read_text()
        named = profile.replace(f'"simulated-{kind}"', f'"{name}"', 1)
        (folder / f"{name}.toml").write_text(named)
        shutil.copy(base.with_name(base.name + ".allowlist"), folder / f"{name}.allowlist")
    maker = BUILD / "maker"
    shutil.rmtree(maker, ignore_errors=True)
    (folder / "maker.pem").write_bytes(TpmMaker.load_or_found(maker).pem())
    shutil.copytree(maker, folder / "maker", dirs_exist_ok=True)
    return folder


def _key(private, public) -> None:
    """The project's key, as whoever releases it has one."""
    for argv in (
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private],
        ["pkey", "-in", private, "-pubout", "-out", public],
    ):
        subprocess.run(["openssl", *argv], check=True, capture_output=True)
    private.chmod(0o600)
