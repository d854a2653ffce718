"""Restore a controller's folder from a backup, or make good a folder that was put back."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Failure, Malformed, Reason, Refused, Unavailable
from framegate.identity.certificates import UNREADABLE
from framegate.record.entry import Act
from framegate.record.verify import AuditRefused, LogAnchor, verify_signed
from framegate.signed.backup import REGISTRY, BackupManifest
from framegate.signed.dsse import parse_envelope
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import key_store_of, load_fleet
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.archive import read_manifest, reading, unpack
from framegate_controller.restoration.begin import BegunAgain, begin_again
from framegate_controller.restoration.seen import Seen, read_seen
from framegate_controller.store.copying import require_whole_file
from framegate_controller.store.database import open_store
from framegate_controller.store.running import stopped
from framegate_controller.store.transfer import move_rows
from framegate_host.private_files import private_folder
from framegate_host.witness_file import write_head


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored: the fleet, when the backup was taken (0: a folder put back), where the
    keys of its CAs are, what was seen, and what the restoration did.
    """

    fleet: str
    backup_ms: int
    key_store: str
    seen: Seen
    begun: BegunAgain


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked: where the registry is, the passphrase of its keys (None: beside them), files
    of what others saw, whose root certificate it must be (None: any), who asks. `own` are files of
    what was seen that lay in the folder itself.
    """

    at: StoreAt
    passphrase_file: Path | None
    seen: Sequence[Path]
    root: x509.Certificate | None
    act: Act
    own: Sequence[Path] = ()

    @property
    def state(self) -> Path:
        """The controller's folder."""
        return self.at.state


def restore_backup(archive: Path, ask: Ask) -> Restored:
    """Make the folder `ask.state`, where no fleet is, out of a backup.

    1. there is no fleet yet, in a database neither, on which no controller runs; 2. the manifest is
    signed by the log's key of the fleet whose root is in the backup, and is that one's which is
    asked for; 3. every file is as it was (`unpack`), and the registry whole; 4. it names no module
    or TPM for its keys, unless it is the fleet whose root was given (N234), and the keys open with
    the passphrase; 5. registry and manifest are of one moment; 6. the registry begins again
    (`begin_again`); 7. it goes to its database, where it has one. The folder is put into its place
    as a whole, after all of that. Raises Refused, Malformed, Unavailable.
    """
    _require_free(ask.state)  # 1
    with _scratch(ask.state) as folder, stopped(ask.at):
        manifest = _unpacked(archive, folder, ask.root)  # 2, 3
        _require_ours(folder / "keys", ask.root)  # 4
        keys = load_fleet(folder / "keys", ask.passphrase_file)
        restored = _begin(StoreAt(folder), keys, ask, manifest, archive.name)  # 5, 6
        if ask.at.shared:  # 7
            move_rows(StoreAt(folder), ask.at)
            (folder / REGISTRY).unlink()
        for path in sorted(folder.iterdir()):  # the keys' folder first: without it nothing starts
            shutil.move(path, ask.state / path.name)
    return restored


def restore_in_place(ask: Ask) -> Restored:
    """Make good the folder `ask.state`, which was put back from a copy: its registry begins again,
    as if from a backup. Raises Refused (CONFLICT) where a controller runs on it.
    """
    keys = load_fleet(ask.state / "keys", ask.passphrase_file)
    _require_root(keys.root.certificate, ask.root)
    with stopped(ask.at):
        if not ask.at.shared:
            require_whole_file(ask.at.file)
        return _begin(ask.at, keys, ask, None, "")


def _begin(
    at: StoreAt, keys: FleetKeys, ask: Ask, manifest: BackupManifest | None, source: str
) -> Restored:
    seen = read_seen(ask.seen, keys, ask.own)
    store = open_store(at)
    try:
        with store.writing() as tx:
            if manifest is not None and (tx.log.size(), tx.log.root()) != (
                manifest.size,
                manifest.root,
            ):
                wanted = f"a record of {manifest.size} entries, as the manifest says"
                raise Refused.of(Reason.BACKUP, wanted, tx.log.size(), "take another backup")
            tx.act = ask.act
            begun = begin_again(tx, keys, seen, source)
    finally:
        store.close()
    write_head(at.state / "log-heads", begun.head)
    return Restored(
        fleet=keys.fleet,
        backup_ms=manifest.at_ms if manifest is not None else 0,
        key_store=keys.key_store.place,
        seen=seen,
        begun=begun,
    )


def _unpacked(archive: Path, folder: Path, root: x509.Certificate | None) -> BackupManifest:
    with reading(archive) as tar:
        envelope = read_manifest(tar)
        claimed = BackupManifest.parse_payload(_payload(envelope))
        unpack(tar, claimed, folder)
    try:
        certificate = x509.load_pem_x509_certificate((folder / "keys" / "root.pem").read_bytes())
    except (OSError, *UNREADABLE) as error:
        seen = type(error).__name__
        raise Malformed.of(Reason.BACKUP, "a root certificate in the backup", seen) from error
    _require_root(certificate, root)
    try:
        manifest = verify_signed(envelope, BackupManifest, LogAnchor(root=certificate))
    except AuditRefused as error:
        wanted = "a manifest signed by the fleet's log key"
        raise Refused.of(Reason.BACKUP, wanted, error, "take another backup") from error
    if manifest.root_sha256 != sha256(_der(certificate)).hex():
        raise Refused.of(Reason.BACKUP, "the root that the manifest names", "another")
    require_whole_file(folder / REGISTRY)
    return manifest


def _payload(envelope: bytes) -> bytes:
    return parse_envelope(envelope, BackupManifest.TYPE).payload


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _require_root(root: x509.Certificate, wanted: x509.Certificate | None) -> None:
    if wanted is not None and _der(root) != _der(wanted):
        expected = f"a fleet with the root {sha256(_der(wanted)).hex()[:16]}"
        hint = "this is another fleet's backup: framegate-controller restore OTHER --root FILE"
        raise Refused.of(Reason.BACKUP, expected, sha256(_der(root)).hex()[:16], hint)


def _require_ours(keys: Path, root: x509.Certificate | None) -> None:
    """A key store is a library, or a program, that this process runs: whoever made a backup up
    would say which. Raises Refused (BACKUP).
    """
    named = key_store_of(keys)
    if named and root is None:
        wanted = "the root of the fleet that this is a backup of: its keys are not in files"
        hint = "framegate-controller restore ARCHIVE --root FILE, a root.pem that you have yourself"
        raise Refused.of(Reason.BACKUP, wanted, f"none; it names {named[:80]!a}", hint)


def _require_free(state: Path) -> None:
    if (state / "keys").exists() or (state / REGISTRY).exists():
        named = shlex.quote(str(state))
        raise Refused(
            [
                Failure(
                    Reason.CONFLICT,
                    f"no fleet in {state}",
                    "one",
                    f"mv {named} {named}.old; framegate-controller restore ARCHIVE "
                    f"--state {named} --seen {named}.old/log-heads",
                )
            ]
        )


@contextmanager
def _scratch(state: Path) -> Iterator[Path]:
    """A private folder in the one that is made, so on its disk; gone at the end."""
    try:
        private_folder(state)
        with TemporaryDirectory(prefix=".restore-", dir=state) as folder:
            yield Path(folder)
    except OSError as error:
        raise Unavailable.of(Reason.UNAVAILABLE, f"a disk for {state}", error) from error
