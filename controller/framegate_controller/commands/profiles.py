"""Firmware profiles at the controller's host: its own key, large allowlists, keys of signers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.names import parse_name
from framegate.identity.pem import private_pem
from framegate_controller.ca.issue import issue_profile_signer
from framegate_controller.ca.open import load_fleet
from framegate_controller.commands.options import (
    at_the_host,
    errors,
    keys_folder,
    registry_at,
)
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import ControllerSettings
from framegate_host.console import safe, talk, typed
from framegate_host.private_files import require_place, write_private
from framegate_host.setting_flags import with_settings

profiles = typer.Typer(no_args_is_help=True, help="Firmware profiles.")


@profiles.command("add")
@with_settings(ControllerSettings)
def profile_add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
    allowlist: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="An IMA allowlist that the profile names; may be repeated.",
        ),
    ] = None,
) -> None:
    """Sign a firmware profile with the controller's own key and put it in force."""
    with errors():
        keys = load_fleet(keys_folder(state), passphrase_file)
        at = StoreAt(state, store, store_password_file)
        with registry_at(at) as registry, at_the_host(registry) as tx:
            for each in allowlist or ():
                tx.evidence.add_allowlist(each.read_bytes(), tx.now_ms)
            profile = add_profile(tx, keys, file.read_bytes())
        talk.print(
            f"profile {safe(profile.name)} {safe(profile.version)} revision {profile.revision} is "
            "in force"
        )


@profiles.command("allowlist")
@with_settings(ControllerSettings)
def profile_allowlist(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    state: Path,
    store: str,
    store_password_file: Path | None,
) -> None:
    """Put IMA allowlists into the store, before a profile that names them; large ones do not fit
    through the operators' port.
    """
    at = StoreAt(state, store, store_password_file)
    with errors(), registry_at(at) as registry:
        for file in files:
            with at_the_host(registry) as tx:
                allowlist = tx.evidence.add_allowlist(file.read_bytes(), tx.now_ms)
            talk.print(f"sha256:{allowlist.digest.hex()}: {allowlist.size} files")


@profiles.command("signer")
@with_settings(ControllerSettings)
def profile_signer(
    name: Annotated[str, typer.Argument(help="Who signs, for instance: carla")],
    out: Annotated[Path, typer.Option(help="Where to write key and certificate (PEM).")],
    state: Path,
    passphrase_file: Path | None,
    days: Annotated[int, typer.Option(min=1, max=730)] = 365,
) -> None:
    """Make a profile signer: a key whose signature on a firmware profile counts in this fleet
    until it is revoked. Use: framegate profile sign.
    """
    with errors():
        require_place(out)
        keys = load_fleet(keys_folder(state), passphrase_file)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_profile_signer(
            keys, parse_name(name, "signer"), key.public_key(), timedelta(days=days)
        )
        write_private(out, private_pem(key) + certificate.public_bytes(Encoding.PEM))
        talk.print(
            f"{safe(out)}: key and certificate of profile signer {safe(name)}, {days} days; "
            f"next: framegate profile sign FILE --key {typed(out)}"
        )
