"""Where the registry is kept: bring it up to date, look whether it is whole, move it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Reason, Refused
from framegate_controller.ca.open import load_fleet
from framegate_controller.commands.backups import backup, restore
from framegate_controller.commands.options import (
    close_state,
    errors,
    keep_address,
    keys_folder,
    registry_at,
)
from framegate_controller.record.check import CheckedRecord, check_record
from framegate_controller.record.witness import require_witnessed
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.copying import require_whole_file
from framegate_controller.store.running import no_other, stopped
from framegate_controller.store.transfer import move_rows
from framegate_host.console import OutputFormat, safe, show_json, talk
from framegate_host.setting_flags import with_settings

stores = typer.Typer(
    no_args_is_help=True,
    help="Where the registry is: a file in the controller's folder, or PostgreSQL.",
)
stores.command("backup")(backup)
stores.command("restore")(restore)


@stores.command("migrate")
@with_settings(ControllerSettings)
def store_migrate(
    state: Path,
    store: str,
    store_password_file: Path | None,
) -> None:
    """Bring the registry's schema up to date; a controller does so as well when it starts.

    Wholly or not at all, while nobody else writes.
    """
    at = StoreAt(state, store, store_password_file)
    with errors():
        _require_there(at)
        with registry_at(at) as registry:
            talk.print(f"{safe(at)}: schema {registry.schema()}")


@stores.command("check")
@with_settings(ControllerSettings)
def store_check(
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
    witness: tuple[Path, ...],
    output: OutputFormat = "table",
) -> None:
    """Read the whole record and say whether it is: every entry, every hash of its tree, every
    signed head, and the heads that are kept outside of it. Controllers may run meanwhile.
    """
    at = StoreAt(state, store, store_password_file)
    with errors():
        _require_there(at)
        keys = load_fleet(keys_folder(state), passphrase_file)
        if not at.shared:
            require_whole_file(at.file)
        with registry_at(at) as registry:
            with registry.reading() as tx:
                checked = check_record(tx, keys)
            require_witnessed(registry, keys, (state / "log-heads", *witness))
        if output == "json":
            show_json({"store": str(at), **asdict(checked)})
            return
        talk.print(
            f"[green]{safe(at)} is whole[/]: {checked.entries} entries, {checked.heads} signed "
            "heads, "
            f"root {checked.root[:16]}"
        )


@stores.command("move")
@with_settings(ControllerSettings)
def store_move(
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
    to: Annotated[
        str,
        typer.Option(
            help="Where to: postgresql://USER@HOST/DATABASE, an empty database; "
            "empty for the file in the folder."
        ),
    ],
    to_password_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The password of that database."),
    ] = None,
    output: OutputFormat = "table",
) -> None:
    """Move the registry to another database, with every controller stopped. Later commands on the
    folder find it there; the record's proofs are what they were.
    """
    source, target = (
        StoreAt(state, store, store_password_file),
        StoreAt(state, to, to_password_file),
    )
    with errors():
        _require_there(source)
        if source.address == target.address:
            hint = "framegate-controller store move --to postgresql://USER@HOST/DATABASE"
            raise Refused.of(Reason.USAGE, "another place than it is in", str(target), hint)
        close_state(state)
        keys = load_fleet(keys_folder(state), passphrase_file)
        with stopped(source), no_other(target):
            rows = move_rows(source, target)
            with registry_at(source) as before, before.reading() as tx:
                was = check_record(tx, keys)
            with registry_at(target) as after, after.reading() as tx:
                checked = check_record(tx, keys)
            _require_same(was, checked)
            keep_address(target)
            left = _put_aside(source)
        if output == "json":
            show_json({"store": str(target), "rows": rows, **asdict(checked)})
            return
        talk.print(
            f"[green]{safe(target)} has the registry now[/]: {rows} rows; the record's "
            f"{checked.entries} entries have the root {checked.root[:16]}, as before"
        )
        talk.print(f"left behind, for you to delete: {safe(left)}\nnext: framegate-controller run")


def _require_same(before: CheckedRecord, after: CheckedRecord) -> None:
    if before != after:
        hint = "the old place is as it was: go on there"
        raise Refused.of(Reason.AUDIT, f"a record with the root {before.root}", after.root, hint)


def _put_aside(source: StoreAt) -> str:
    """Nobody goes on by mistake with what was moved; where it is."""
    if source.shared:
        return str(source)
    aside = source.file.with_name(f"{source.file.name}.moved")
    for end in ("", "-wal", "-shm"):
        part = source.file.with_name(source.file.name + end)
        if part.exists():
            part.replace(aside.with_name(aside.name + end))
    return str(aside)


def _require_there(at: StoreAt) -> None:
    """That a file is there: nobody's is made by looking for one."""
    if not at.shared and not at.file.exists():
        hint = f"framegate-controller init --state {at.state}"
        raise Refused.of(Reason.NOT_FOUND, f"a registry in {at.state}", "none", hint)
