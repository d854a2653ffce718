"""N234, N235: backups that somebody made up, and what a host says that it saw of a fleet."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from framegate.signed.backup import REGISTRY
from framegate_controller.ca.open import load_fleet
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.archive import describe_file, rows_of, write_archive
from framegate_controller.restoration.backup import Source, take_backup
from framegate_controller.store.copying import copy_registry
from framegate_host.private_files import make_private, private_folder
from framegate_simulators.attack.target import Seen, Target, attempt

VAST: Final = 2**62
"""A revision that leaves room for no restoration more."""


def made_backup(state: Path, out: Path, key_store: str, passphrase: str = "") -> Path:
    """A backup of the fleet in `state` that says its keys are in `key_store`, with the keys'
    passphrase in it as `passphrase`, if that is a name; all else is as it should be, for whoever
    owns a fleet can sign one.
    """
    folder = private_folder(out.with_suffix(".made"))
    keys = private_folder(folder / "keys")
    manifest = take_backup(Source(at=StoreAt(state), passphrase_file=None), folder / "sound.tar")
    for path in (state / "keys").iterdir():
        if path.is_file() and path.name != "passphrase":
            make_private(keys / path.name, path.read_bytes())
    (keys / "held").write_text(key_store)
    if passphrase:
        make_private(keys / passphrase, (state / "keys" / "passphrase").read_bytes())
    copy_registry(state / REGISTRY, folder / REGISTRY)
    files = {REGISTRY: folder / REGISTRY, **{f"keys/{p.name}": p for p in keys.iterdir()}}
    described = [describe_file(path, name) for name, path in sorted(files.items())]
    signer = load_fleet(state / "keys").signing["log"]
    made = replace(manifest, files=rows_of(described))
    write_archive(out, made.seal(signer.der, signer.sign), files)
    return out


@attempt("N234", "a backup whose keys are said to be in a TPM that is a program of its maker's")
def n234(t: Target) -> Seen:
    plant, state = t.plant, t.plant.folder / "controller"
    taken = plant.folder / "taken-by-a-backup"
    made = made_backup(state, plant.folder / "made.tar", f"tpm:cmd:touch {taken}; exit 1")
    passphrase = state / "keys" / "passphrase"
    argv = ("restore", "--state", plant.folder / "restored", made, "--passphrase-file", passphrase)
    said = plant.command("framegate-controller", *argv, check=False)
    ran = "RAN" if taken.exists() else "nothing ran"
    refused = said.returncode == 4 and "--root FILE" in said.stderr
    return Seen(refused and not taken.exists(), f"{ran}; exit {said.returncode}, asks for the root")


@attempt("N235", "a gateway's file that says it saw a trust revision no later one can be above")
def n235(t: Target) -> Seen:
    plant = t.plant
    state, copy = plant.folder / "controller", plant.folder / "made-good"
    private_folder(copy)
    shutil.copytree(state / "keys", copy / "keys")
    copy_registry(state / REGISTRY, copy / REGISTRY)
    seen = plant.folder / "made-up-revision"
    seen.write_text(str(VAST))
    argv = ("restore", "--state", copy, "--seen", seen)
    lied = plant.command("framegate-controller", *argv, check=False)
    seen.write_text("7")
    told = plant.command("framegate-controller", *argv, check=False)
    refused = lied.returncode == 4 and "leave out the file" in lied.stderr
    return Seen(
        refused and told.returncode == 0,
        f"made up: exit {lied.returncode}, a file to leave out; a true one: exit {told.returncode}",
    )
