"""Backups of the controller's folder, and restoring one: at the controller's host alone."""

from __future__ import annotations

import getpass
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from rich.table import Table

from framegate.errors import Malformed, Reason
from framegate.identity.certificates import UNREADABLE, from_ms
from framegate.record.entry import Act
from framegate.record.fleet_events import RegistryBackedUp
from framegate.signed.backup import BackupManifest
from framegate_controller.commands.options import (
    at_the_host,
    close_state,
    errors,
    keep_address,
    registry_at,
)
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.backup import Source, take_backup
from framegate_controller.restoration.restore import (
    Ask,
    Restored,
    restore_backup,
    restore_in_place,
)
from framegate_controller.settings import ControllerSettings
from framegate_host.console import OutputFormat, Terminal, safe, show_json, talk, typed
from framegate_host.setting_flags import with_settings

Output = OutputFormat


@with_settings(ControllerSettings)
def backup(
    out: Annotated[
        Path, typer.Option(help="The file to write, best on another disk; it must not exist.")
    ],
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
    output: Output = "table",
) -> None:
    """Write a backup of registry and keys, while the controller runs.

    Keys are in it as they are in their folder, encrypted; the passphrase is not: keep it elsewhere.
    """
    with errors():
        at = StoreAt(state, store, store_password_file)
        with registry_at(at) as registry, at_the_host(registry) as tx:
            tx.record(RegistryBackedUp(file=out.name))
        manifest = take_backup(Source(at=at, passphrase_file=passphrase_file), out)
        if output == "json":
            show_json({**asdict(manifest), "files": len(manifest.files), "file": str(out)})
            return
        _tell_backup(out, manifest, passphrase_file or state / "keys" / "passphrase")


def _tell_backup(out: Path, manifest: BackupManifest, passphrase: Path) -> None:
    talk.print(
        f"{safe(out)}: fleet {safe(manifest.fleet)}, {manifest.size} entries of the record, "
        f"trust revision {manifest.revision}, {len(manifest.files)} files"
    )
    talk.print(
        f"[yellow]not in it: the keys' passphrase. Keep a copy of {safe(passphrase)} elsewhere: "
        "without it this backup opens nothing[/]"
    )
    in_files = manifest.key_store.startswith("encrypted file")
    if not in_files:
        talk.print(
            "[yellow]not in it: the CAs' private keys, which are in "
            f"{safe(manifest.key_store)}. Keep a copy of the fleet's root.pem elsewhere: a backup "
            "whose keys are not in files is restored under a root that is given[/]"
        )
    talk.print(
        f"next: copy {safe(out)} to another machine; to begin again from it there: "
        f"framegate-controller restore {typed(out.name)} --passphrase-file FILE --seen WITNESS"
        + ("" if in_files else " --root FILE")
    )


@with_settings(ControllerSettings)
def restore(  # noqa: PLR0913 - a command's options
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
    witness: tuple[Path, ...],
    archive: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="A backup; without one, --state itself is a copy that was put back.",
        ),
    ] = None,
    seen: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="What others saw of this controller: a witness's file, record-head or "
            "feed-revision of a gateway or machine, an export of the log; may be repeated.",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="The fleet's root certificate: no other is restored."
        ),
    ] = None,
    output: Output = "table",
) -> None:
    """Begin again from a backup, or from a copy of the folder that was put back.

    Revisions rise past everything seen, nobody is trusted before a fresh proof, and what is lost is
    said.
    """
    with errors():
        close_state(state)
        own = state / "log-heads"
        ask = Ask(
            at=StoreAt(state, store, store_password_file),
            passphrase_file=passphrase_file,
            seen=(*(seen or ()), *(path for path in witness if path.exists())),
            own=(own,) if archive is None and own.exists() else (),
            root=_certificate(root) if root is not None else None,
            act=Act(actor=f"host.{getpass.getuser()}"),
        )
        restored = restore_backup(archive, ask) if archive else restore_in_place(ask)
        keep_address(ask.at)
        if output == "json":
            show_json(_as_json(restored))
        else:
            _tell_restored(restored, ask)


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except UNREADABLE as error:
        seen = type(error).__name__
        raise Malformed.of(Reason.CERTIFICATE, f"a certificate in {path}", seen) from error


def _as_json(restored: Restored) -> dict[str, Any]:
    restoration = restored.begun.restoration
    return {
        "fleet": restored.fleet,
        "backup_ms": restored.backup_ms,
        "restoration": restoration.number,
        "kept_entries": restoration.kept,
        "seen_entries": restoration.seen,
        "revision_before": restored.begun.revision_before,
        "revision": restoration.revision,
        "withdrawn": [
            {"what": w.what, "count": w.count, "next": w.next} for w in restored.begun.withdrawn
        ],
    }


def _tell_restored(restored: Restored, ask: Ask) -> None:
    begun, restoration = restored.begun, restored.begun.restoration
    talk.print(
        f"[bold]fleet {safe(restored.fleet)} is restored in {safe(ask.state)}[/]: restoration "
        f"{restoration.number}, trust revision {begun.revision_before} -> {restoration.revision}"
    )
    table = Table("lost or void", "how much", "what to do next", box=None)
    for row in _rows(restored):
        table.add_row(safe(row.what), safe(row.count), safe(row.next))
    Terminal(highlight=False, soft_wrap=True).print(table)
    if not restored.key_store.startswith("encrypted file"):
        talk.print(f"[yellow]the CAs' private keys are in {safe(restored.key_store)}[/]")
    talk.print(
        "next: framegate-controller run"
        + (f" --passphrase-file {typed(ask.passphrase_file)}" if ask.passphrase_file else "")
    )


@dataclass(frozen=True, slots=True)
class _Row:
    what: str
    count: str
    next: str


def _rows(restored: Restored) -> list[_Row]:
    restoration = restored.begun.restoration
    first, last = restoration.kept, restoration.seen - 1
    entries = _Row(
        "entries of the record",
        f"{first} to {last}" if last >= first else "none known",
        "read them in an export, if there is one; without --seen nobody knows how many there were",
    )
    since = _Row(
        "what was changed since",
        f"since {from_ms(restored.backup_ms):%Y-%m-%d %H:%M} UTC"
        if restored.backup_ms
        else "unknown",
        "people, policy, profiles, pins, masks, parts, quarantines: set again what is missing",
    )
    void = [_Row(w.what, str(w.count), w.next) for w in restored.begun.withdrawn]
    joined = _Row(
        "machines that joined since", "unknown", "their tickets are void: framegate camera invite"
    )
    return [entries, since, *void, joined]
