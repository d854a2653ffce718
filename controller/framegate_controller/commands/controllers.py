"""Another controller of a fleet whose registry is in a database: its folder is made here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Reason, Refused
from framegate.record.fleet_events import CaMade
from framegate_controller.ca.keys import ISSUING
from framegate_controller.ca.open import found_beside, load_fleet
from framegate_controller.commands.options import (
    at_the_host,
    errors,
    keep_address,
    keys_folder,
    registry_at,
)
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import ControllerSettings
from framegate_host.console import safe, talk, typed
from framegate_host.private_files import state_folder
from framegate_host.setting_flags import with_settings


@with_settings(ControllerSettings)
def add_controller(
    out: Annotated[Path, typer.Argument(help="The new controller's folder, which is made.")],
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Make the folder of another controller of this fleet, on the same database: issuing CAs of its
    own under the fleet's root. Carry it to its host as you would a key.
    """
    at = StoreAt(state, store, store_password_file)
    with errors():
        if not at.shared:
            hint = "framegate-controller store move --to postgresql://USER@HOST/DATABASE"
            raise Refused.of(Reason.USAGE, "a registry that controllers can share", str(at), hint)
        keys = load_fleet(keys_folder(state), passphrase_file)
        state_folder(out)
        found_beside(keys, out / "keys", passphrase_file)
        made = load_fleet(out / "keys")
        with registry_at(at) as registry, at_the_host(registry) as tx:
            for label in ISSUING:
                serial = f"{made.issuing[label].certificate.serial_number:x}"
                tx.record(CaMade(label=label, serial=serial))
        keep_address(StoreAt(out, at.address, at.password_file))
        talk.print(f"{safe(out)}: another controller of fleet {safe(keys.fleet)}, on {safe(at)}")
        talk.print(
            "[yellow]the fleet's root key is in it, and the passphrase of its keys: carry it over "
            f"a channel that you trust, and put {safe(out)}/keys/passphrase elsewhere[/]"
        )
        talk.print(
            f"next, there: framegate-controller run --state {typed(out)} --name controller-2 "
            "--peer HOST:JOINPORT:FLEETPORT; and here run with --peer as well"
        )
