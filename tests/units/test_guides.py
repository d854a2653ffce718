"""docs/guides/operators/install.md, followed to the letter from a bare Debian without a network:
what the page shows is typed as it stands. Part of `make units-test`.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from units.container import BUILD, ROOT, boot_bare, lacking, package

sys.path.insert(0, str(ROOT / "scripts"))
from blocks import page_of

pytestmark = pytest.mark.alone
PAGE = ROOT / "docs/guides/operators/install.md"
PACKAGES = ("operator", "controller", "agent", "gateway", "console")


def fetch_block() -> str:
    """What is typed on a machine that has the Internet."""
    blocks = page_of("install.md", PAGE.read_text()).blocks
    (block,) = [b for b in blocks if "--download-only" in b.text]
    return block.text


@pytest.fixture(scope="module")
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
    base = ROOT / "firmware_profiles/simulators-gateway-1.0.0"
    profile = base.with_name(base.name + ".toml").read_text()
    (folder / "edge-7.toml").write_text(profile.replace('"simulated-gateway"', '"edge-7"', 1))
    shutil.copy(base.with_name(base.name + ".allowlist"), folder / "edge-7.allowlist")
    return folder


def _key(private, public) -> None:
    """The project's key, as whoever releases it has one."""
    for argv in (
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private],
        ["pkey", "-in", private, "-pubout", "-out", public],
    ):
        subprocess.run(["openssl", *argv], check=True, capture_output=True)
    private.chmod(0o600)


@pytest.fixture(scope="module")
def seen(release):
    if reason := lacking():
        pytest.skip(reason)
    maker = BUILD / "maker"
    from framegate_simulators.machine.tpm import TpmMaker

    shutil.rmtree(maker, ignore_errors=True)
    (release / "maker.pem").write_bytes(TpmMaker.load_or_found(maker).pem())
    shutil.copytree(maker, release / "maker", dirs_exist_ok=True)
    told = boot_bare(release, "guide.py")
    assert "fault" not in told, f"{told['fault']}\n{told['journal']}\n{told['blocks']}"
    return told


def test_the_machine_was_bare_and_had_no_network(seen):
    assert seen["bare"] == 1, "not even an interpreter"


def test_every_block_of_the_page_does_what_it_says(seen):
    wrong = {}
    for name, told in seen["blocks"].items():
        codes = {code for code, _ in told["failed"]}
        if codes != ({told["code"]} if told["code"] else set()):
            wrong[name] = (told["text"], told["failed"], told["shown"][-1500:])
    assert not wrong, json.dumps(wrong, indent=1)
    titles = {name.rsplit(" ", 1)[0] for name in seen["blocks"]}
    assert titles == {
        "Without the Internet",
        "One host",
        "Is it ours?",
        "Reload, restart, upgrade",
        "When somebody is to help",
        "The day the controller is gone",
    }


def test_what_the_page_promises_is_so_at_its_end(seen):
    assert "warranted by gateway.line-1.gw1" in seen["gateway"]
    assert seen["after"]["shown"].split()[:3] == ["active"] * 3
    assert "trusted" in seen["listed"]["shown"]


def test_an_upgrade_was_looked_at_before_it_came(seen):
    (told,) = [t for t in seen["blocks"].values() if "upgrade --check" in t["text"]]
    assert "nothing of the registry changes with this version" in told["shown"]


def test_another_controller_begins_again_from_what_was_kept(seen):
    assert seen["lost"] == [], "nothing of the first one is left"
    (told,) = [t for t in seen["blocks"].values() if "restore /run/again/fleet.tar" in t["text"]]
    assert "restoration 1" in told["shown"] and "entries of the record" in told["shown"]
    assert "trusted" in seen["again"]
