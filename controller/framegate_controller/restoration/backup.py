"""Take a backup of a controller's folder while the controller runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from framegate.errors import Reason, Refused, Unavailable
from framegate.signed.backup import REGISTRY, BackupManifest
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import load_fleet
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.archive import describe_file, rows_of, write_archive
from framegate_controller.store.copying import copy_registry
from framegate_controller.store.database import now_ms, open_registry
from framegate_controller.store.shared.restorations import restored_times
from framegate_controller.store.transfer import move_rows
from framegate_host.private_files import make_private, private_folder

TRIES: Final = 5
"""A rotation changes the keys' folder for some milliseconds, at most once in minutes."""
_PASSPHRASE: Final = "passphrase"  # noqa: S105 - the name of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a controller's registry is, and the passphrase of its keys, None for beside them."""

    at: StoreAt
    passphrase_file: Path | None

    @property
    def keys(self) -> Path:
        """The keys' folder."""
        return self.at.state / "keys"


def take_backup(source: Source, out: Path) -> BackupManifest:
    """Write a backup of `source` to the new file `out`; what is in it.

    1. the registry is one moment's (SQLite's online backup, a snapshot of PostgreSQL), and a file
    of SQLite in either case: a backup can be restored to both; 2. the keys' folder did not change
    while it was copied; 3. the copied keys open with the passphrase and are this fleet's: a backup
    that could not be restored is none. Raises Refused, Unavailable.
    """
    keys = load_fleet(source.keys, source.passphrase_file)
    with _scratch(out) as folder:
        copied = _copy_keys(source, folder)  # 2
        _require_opens(folder, source, keys)  # 3
        _copy_registry(source.at, folder / REGISTRY)  # 1
        files = {REGISTRY: folder / REGISTRY, **{f"keys/{p.name}": p for p in copied}}
        manifest = _manifest(keys, folder, files)
        signer = keys.signing["log"]
        try:
            write_archive(out, manifest.seal(signer.der, signer.sign), files)
        except FileExistsError as error:
            wanted = f"no file {out}: a backup never overwrites another"
            raise Refused.of(Reason.CONFLICT, wanted, "one", "name another with --out") from error
        except OSError as error:
            out.unlink(missing_ok=True)
            raise Unavailable.of(Reason.UNAVAILABLE, f"a disk for {out}", error) from error
    return manifest


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A private folder beside the backup, gone at the end: what is in it never lies elsewhere."""
    try:
        with TemporaryDirectory(prefix=".framegate-backup-", dir=out.absolute().parent) as folder:
            yield Path(folder)
    except FileNotFoundError as error:
        raise Unavailable.of(Reason.UNAVAILABLE, f"a folder for {out}", "none") from error


def _copy_registry(at: StoreAt, to: Path) -> None:
    if not at.shared:
        copy_registry(at.file, to)
        return
    move_rows(at, StoreAt(to.parent))


def _copy_keys(source: Source, folder: Path) -> list[Path]:
    to = private_folder(folder / "keys")
    for _ in range(TRIES):
        before = _listed(source)
        for path in before:
            make_private(to / path.name, path.read_bytes())
        copied = {p: describe_file(to / p.name, p.name) for p in before}
        if copied == _described(source):
            return [to / p.name for p in before]
        for path in to.iterdir():
            path.unlink()
    wanted, hint = "keys that stay for a moment", "framegate ca show says what rotates; try again"
    raise Unavailable.of(Reason.UNAVAILABLE, wanted, "changes", hint)


def _described(source: Source) -> dict[Path, object]:
    try:
        return {p: describe_file(p, p.name) for p in _listed(source)}
    except FileNotFoundError:
        return {}


def _listed(source: Source) -> list[Path]:
    """Every file of the keys' folder but the passphrase, wherever that is said to be."""
    left_out = {(source.keys / _PASSPHRASE).resolve()}
    if source.passphrase_file is not None:
        left_out.add(source.passphrase_file.resolve())
    return sorted(
        p
        for p in source.keys.iterdir()
        if p.is_file() and not p.name.startswith(".") and p.resolve() not in left_out
    )


def _require_opens(folder: Path, source: Source, keys: FleetKeys) -> None:
    passphrase = source.passphrase_file or source.keys / _PASSPHRASE
    copied = load_fleet(folder / "keys", passphrase)
    if copied.root.der != keys.root.der:
        raise Refused.of(Reason.BACKUP, "the root of this fleet", "another")


def _manifest(keys: FleetKeys, folder: Path, files: dict[str, Path]) -> BackupManifest:
    store = open_registry(folder / REGISTRY)
    try:
        with store.reading() as tx:
            size, root, revision = tx.log.size(), tx.log.root(), tx.revision()
            restored = restored_times(tx)
    finally:
        store.close()  # what was written beside the file is in it now
    described = [describe_file(path, name) for name, path in sorted(files.items())]
    return BackupManifest(
        fleet=keys.fleet,
        root_sha256=sha256(keys.root.der).hex(),
        files=rows_of(described),
        size=size,
        root=root,
        restorations=restored,
        revision=revision,
        key_store=keys.key_store.place,
        at_ms=now_ms(),
    )
