"""A backup is one moment's, private, without the passphrase; others are refused."""

import io
import json
import stat
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.record.fleet_events import RegistryBackedUp
from framegate.record.witness import head_line, parse_head
from framegate.signed.backup import BackupManifest
from framegate.signed.dsse import parse_envelope
from framegate_controller.main import app
from framegate_controller.record.ledger import checkpoint
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.backup import Source, take_backup
from framegate_controller.restoration.restore import restore_backup
from framegate_controller.store.running import running, stopped
from framegate_controller.store.shared.restorations import restored_times
from support.flipped import flipped
from support.refusals import refused
from support.registries import Registry


@pytest.fixture(scope="module")
def founded(tmp_path_factory) -> Registry:
    registry = Registry(tmp_path_factory.mktemp("founded") / "controller")
    registry.grow()
    registry.archive = registry.backup(registry.folder.parent / "backup.tar")
    return registry


def members(archive) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def written(path, content: dict[str, bytes], *, kind=tarfile.REGTYPE, odd: str = ""):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(data), kind if name == odd else tarfile.REGTYPE
            if entry.type != tarfile.REGTYPE:
                entry.linkname, entry.size = "/etc/passwd", 0
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_what_is_in_it_and_who_may_read_it(founded):
    content = members(founded.archive)
    passphrase = founded.passphrase.read_bytes().strip()
    assert stat.S_IMODE(founded.archive.stat().st_mode) == 0o600
    assert "keys/passphrase" not in content and "keys/root.key" in content
    assert not any(passphrase in data for data in content.values())
    assert next(iter(content)) == "manifest.json"
    assert b"ENCRYPTED PRIVATE KEY" in content["keys/log.key"]


@pytest.mark.parametrize("folder", ["", "keys"])
def test_n142_a_folder_that_stands_open_is_closed_before_it_is_copied(founded, tmp_path, folder):
    opened = founded.folder / folder
    opened.chmod(0o755)
    out = tmp_path / "b.tar"
    done = CliRunner().invoke(app, ["backup", "--state", str(founded.folder), "--out", str(out)])
    assert done.exit_code == 0 and stat.S_IMODE(opened.stat().st_mode) == 0o700


@pytest.mark.parametrize("command", [["backup", "--out", "b.tar"], ["break-glass", "--out", "b"]])
def test_n142_a_folder_that_everybody_writes_into_is_refused(founded, command):
    founded.folder.chmod(0o1777)
    try:
        done = CliRunner().invoke(app, [command[0], "--state", str(founded.folder), *command[1:]])
    finally:
        founded.folder.chmod(0o700)
    assert done.exit_code and "chmod 700" in done.output and not Path("b.tar").exists()


def test_a_passphrase_file_of_ones_own_among_the_keys_is_left_out_too(founded, tmp_path):
    registry = Registry(founded.copy(tmp_path / "copy"))
    own = registry.passphrase.rename(registry.folder / "keys" / "own-words")
    take_backup(Source(at=StoreAt(registry.folder), passphrase_file=own), tmp_path / "own.tar")
    assert "keys/own-words" not in members(tmp_path / "own.tar")


@pytest.mark.slow
def test_a_backup_under_writes_is_one_moment_of_the_registry(founded, tmp_path):
    registry = Registry(founded.copy(tmp_path / "busy"))
    ending, wrote, store = threading.Event(), threading.Event(), registry.store()

    def write() -> None:
        while not ending.is_set():
            with store.writing() as tx:
                tx.raise_revision()
                tx.record(RegistryBackedUp(file="one of many"), by="host.anna")
                checkpoint(tx, registry.keys)
            wrote.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wrote.wait(20)
        archives = [registry.backup(tmp_path / f"{n}.tar") for n in range(3)]
    finally:
        ending.set()
        writer.join()
        store.close()
    for number, archive in enumerate(archives):
        new = registry.restored(archive, tmp_path / f"new-{number}")
        assert new.change(restored_times) == 1


def test_it_overwrites_nothing_and_needs_its_passphrase(founded, tmp_path):
    taken = tmp_path / "taken.tar"
    taken.write_bytes(b"mine")
    assert refused(lambda: founded.backup(taken)) == Reason.CONFLICT
    assert taken.read_bytes() == b"mine"
    ask = founded.ask(state=tmp_path / "new")
    with pytest.raises(Unavailable):
        restore_backup(founded.archive, ask)
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase than that")
    wrong.chmod(0o600)
    with pytest.raises(Refused):
        restore_backup(founded.archive, replace(ask, passphrase_file=wrong))
    assert not (tmp_path / "new" / "keys").exists()


def damaged_files(how: str, content: dict[str, bytes]) -> dict[str, bytes]:
    changed = dict(content)
    if how == "edited registry":
        changed["registry.db"] = flipped(content["registry.db"])
    elif how == "edited key":
        changed["keys/log.pem"] = content["keys/log.pem"].replace(b"A", b"B", 1)
    elif how == "missing":
        del changed["keys/grant.key"]
    elif how == "added":
        changed["keys/extra.key"] = b"mine"
    elif how == "outside":
        changed["../../outside"] = b"mine"
    elif how == "no manifest":
        del changed["manifest.json"]
    elif how == "manifest later":
        changed = {k: changed[k] for k in sorted(changed, reverse=True)}
    elif how == "stranger's manifest":
        body = json.loads(content["manifest.json"])
        body["signatures"][0]["sig"] = "AAAA"
        changed["manifest.json"] = json.dumps(body).encode()
    return changed


@pytest.mark.parametrize(
    "how",
    [
        "edited registry",
        "edited key",
        "missing",
        "added",
        "outside",
        "no manifest",
        "manifest later",
        "stranger's manifest",
    ],
)
def test_a_damaged_backup_is_refused_and_leaves_nothing(founded, tmp_path, how):
    archive = written(tmp_path / "bad.tar", damaged_files(how, members(founded.archive)))
    with pytest.raises(FramegateError) as caught:
        founded.restored(archive, tmp_path / "new")
    assert caught.value.reason in {Reason.BACKUP, Reason.ENVELOPE}
    left = {p.name for p in (tmp_path / "new").iterdir()}
    assert left <= {"controller.lock"} and not (tmp_path / "outside").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_a_link_or_folder_in_the_place_of_a_file(founded, tmp_path, kind):
    content = members(founded.archive)
    archive = written(tmp_path / "bad.tar", content, kind=kind, odd="keys/log.key")
    assert refused(lambda: founded.restored(archive, tmp_path / "new")) == Reason.BACKUP


@pytest.mark.parametrize("keep", [0, 100, 5_000, 200_000])
def test_a_backup_that_ends_early(founded, tmp_path, keep):
    archive = tmp_path / "short.tar"
    archive.write_bytes(founded.archive.read_bytes()[:keep])
    assert refused(lambda: founded.restored(archive, tmp_path / "new")) == Reason.BACKUP


@pytest.mark.parametrize(
    "change",
    [
        {"size": 3},
        {"root": "00" * 32},
        {"root_sha256": "00" * 32},
        {"files": ()},
        {"files": ({"name": "../x", "size": 1, "sha256": "00" * 32},)},
        {"files": ({"name": "registry.db", "size": -1, "sha256": "00" * 32},)},
        {"files": ({"name": "registry.db", "size": 1, "sha256": "zz"},)},
    ],
)
def test_a_signed_manifest_that_does_not_fit(founded, tmp_path, change):
    content = members(founded.archive)
    payload = parse_envelope(content["manifest.json"], BackupManifest.TYPE).payload
    manifest = replace(BackupManifest.parse_payload(payload), **change)
    signer = founded.keys.signing["log"]
    content["manifest.json"] = manifest.seal(signer.der, signer.sign)
    archive = written(tmp_path / "bad.tar", content)
    assert refused(lambda: founded.restored(archive, tmp_path / "new")) == Reason.BACKUP


def test_another_fleets_backup_is_refused_where_the_root_is_named(founded, tmp_path):
    other = Registry(tmp_path / "other", another=True)
    root = other.keys.root.certificate
    ask = founded.ask(state=tmp_path / "new", passphrase_file=founded.passphrase, root=root)
    with pytest.raises(Refused) as caught:
        restore_backup(founded.archive, ask)
    assert caught.value.reason == Reason.BACKUP
    right = replace(ask, root=founded.keys.root.certificate)
    assert restore_backup(founded.archive, right).fleet == "plant"
    with pytest.raises(Malformed):
        BackupManifest.parse_payload(b"{}")


def test_neither_over_a_fleet_nor_under_a_running_controller(founded, tmp_path):
    registry = Registry(founded.copy(tmp_path / "copy"))
    assert refused(lambda: registry.restored(founded.archive, registry.folder)) == Reason.CONFLICT
    with running(registry.folder), running(registry.folder):
        assert refused(registry.made_good) == Reason.CONFLICT
    with stopped(StoreAt(registry.folder)):
        assert refused(lambda: running(registry.folder).__enter__()) == Reason.CONFLICT
    registry.made_good()


def test_a_clock_before_what_was_signed_restores_nothing(founded, tmp_path):
    now = parse_head(founded.grow(0))
    ahead = replace(now, at_ms=now.at_ms + 3_600_000)
    signer = founded.keys.signing["log"]
    heads = tmp_path / "heads"
    heads.write_bytes(head_line(ahead.seal(signer.der, signer.sign)) + b"\n")
    with pytest.raises(Refused) as caught:
        founded.restored(founded.archive, tmp_path / "new", heads)
    assert caught.value.reason == Reason.CONFLICT
    assert "clock" in caught.value.failures[0].expected
