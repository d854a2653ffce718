"""Another version of the controller on the same fleet: what it would do, and doing it."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from framegate.errors import Reason, Refused, Unavailable
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import load_fleet
from framegate_controller.commands.options import errors, keys_folder, registry_at
from framegate_controller.record.check import CheckedRecord, check_record
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.copying import copy_registry, require_whole_file
from framegate_controller.store.database import SchemaSteps, schema_steps
from framegate_controller.store.running import stopped
from framegate_host.console import OutputFormat, show_json, talk
from framegate_host.setting_flags import with_settings

ROOM: Final = 3
"""Times the registry's size: a copy to try on, SQLite's journal of the largest step, and as much
again.
"""
_BACKUP: Final = "framegate-controller backup --out FILE"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What this version does to a registry. `record` is that of the copy it was tried on, None
    where the registry is a database that cannot be copied here.
    """

    version: str
    store: str
    schema: SchemaSteps
    record: CheckedRecord | None


@with_settings(ControllerSettings)
def upgrade(
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
    check: Annotated[
        bool, typer.Option("--check", help="Try it on a copy and change nothing; it may run.")
    ] = False,
    output: OutputFormat = "table",
) -> None:
    """Bring a stopped controller's registry to this version, after it held on a copy. Starting this
    version does so too; here it is tried first, and the record is read whole afterwards.
    """
    at = StoreAt(state, store, store_password_file)
    with errors():
        if not at.shared and not at.file.exists():
            hint = f"framegate-controller init --state {shlex.quote(str(state))}"
            raise Refused.of(Reason.NOT_FOUND, f"a registry in {state}", "none", hint)
        keys = load_fleet(keys_folder(state), passphrase_file)
        tried = Upgrade(version("framegate"), str(at), schema_steps(at), _tried(at, keys))
        if not check:
            with stopped(at), registry_at(at) as registry, registry.reading() as tx:
                check_record(tx, keys)
        if output == "json":
            show_json({**asdict(tried), "done": not check})
        else:
            _tell(tried, done=not check)


def _tried(at: StoreAt, keys: FleetKeys) -> CheckedRecord | None:
    """The record of a copy that this version brought up to date, None where `at` is a database: its
    migration is one transaction, whole or not at all. Raises Malformed (AUDIT), Unavailable.
    """
    if at.shared:
        return None
    size, free = at.file.stat().st_size, shutil.disk_usage(at.state).free
    if free < ROOM * size:
        wanted = f"{ROOM * size / 1e6:.0f} MB free for the registry in {at.state}"
        raise Unavailable.of(
            Reason.UNAVAILABLE, wanted, f"{free / 1e6:.0f} MB", "make room on that disk"
        )
    with tempfile.TemporaryDirectory(dir=at.state, prefix="upgrade-") as folder:
        copy = StoreAt(Path(folder))
        copy_registry(at.file, copy.file)
        with registry_at(copy) as registry, registry.reading() as tx:
            checked = check_record(tx, keys)
        require_whole_file(copy.file)
    return checked


def _tell(tried: Upgrade, *, done: bool) -> None:
    steps, record = tried.schema, tried.record
    table = Table(box=None)
    for name in ("", "seen"):
        table.add_column(name)
    table.add_row("this version", tried.version)
    table.add_row("registry", tried.store)
    count = f"{len(steps.steps)} steps: {', '.join(steps.steps)}" if steps.steps else "up to date"
    table.add_row("schema", f"{steps.present} to {steps.newest}, {count}")
    on_copy = (
        f"whole on a copy: {record.entries} entries, root {record.root[:16]}"
        if record
        else "not tried: a database is not copied here; the steps are one transaction"
    )
    table.add_row("record", on_copy)
    talk.print(table)
    if done:
        talk.print("[green]done[/]\nnext: systemctl start framegate-controller")
    elif steps.steps:
        talk.print(f"next: {_BACKUP}\nthen: framegate-controller upgrade, with every one stopped")
    else:
        talk.print("[green]nothing of the registry changes with this version[/]")
