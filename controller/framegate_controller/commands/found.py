"""Found a fleet: keys, registry, access policy, first operator.

Nothing else makes any of these where there is none.
"""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Reason, Refused
from framegate.identity.names import parse_name
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet
from framegate_controller.commands.options import (
    errors,
    keep_address,
    keys_folder,
    registry_at,
)
from framegate_controller.people.factors import hash_password
from framegate_controller.people.policies import found_policy
from framegate_controller.people.signin import found_operator
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.ports import Store
from framegate_host.console import OutputFormat, safe, show_json, talk, typed
from framegate_host.operator_context import context_body
from framegate_host.private_files import private_folder, require_place, state_folder, write_private
from framegate_host.setting_flags import with_settings
from framegate_host.sign_in_prompts import ask_password, show_authenticator, show_recovery_codes


@with_settings(ControllerSettings)
def init(  # noqa: PLR0913 - a command's options
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
    fleet: Annotated[str, typer.Option(help="Name of the fleet.")] = "plant",
    operator: Annotated[
        str | None, typer.Option(help="Name of the first operator; default: your login name.")
    ] = None,
    join_address: Annotated[
        str, typer.Option(help="host:port of the join port, where operators sign in.")
    ] = "127.0.0.1:7443",
    fleet_address: Annotated[
        str, typer.Option(help="host:port of the fleet port, for the operators' context.")
    ] = "127.0.0.1:7444",
    context: Annotated[
        Path | None,
        typer.Option(help="Where to write the operators' context; default: STATE/context.json"),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="The first operator's password; default: ask."
        ),
    ] = None,
    ca_keys: Annotated[
        str,
        typer.Option(
            help="Where CA keys are held: pkcs11:module=FILE;token=LABEL;pin-file=FILE, "
            "or tpm:TCTI; default: encrypted files."
        ),
    ] = "",
    output: OutputFormat = "table",
) -> None:
    """Make a fleet: its keys, registry, access policy and first operator, whose second factor and
    recovery codes are shown once.
    """
    with errors():
        name = parse_name(operator or getpass.getuser(), "operator name")
        parse_name(fleet, "fleet")
        if (keys_folder(state) / "root.pem").exists():
            hint = "use another --state folder, or keep this fleet"
            raise Refused.of(Reason.CONFLICT, f"no fleet in {state}", "a root key", hint)
        password = ask_password(f"new password of {name}", password_file, new=True)
        hash_password(password)  # before anything is made
        if context is not None:
            private_folder(context.parent)
            require_place(context)
        state_folder(state)
        at = StoreAt(state, store, store_password_file)
        if at.shared:  # before anything is made: it may be another fleet's
            with registry_at(at) as registry:
                _require_unfounded(registry, at)
        keys = found_fleet(keys_folder(state), fleet, ca_keys, passphrase_file)
        uri, codes = found_registry(at, keys, name, password)
        keep_address(at)
        path = context or state / "context.json"
        private_folder(path.parent)
        server, root = f"controller.{fleet}.framegate", keys.root.pem.decode()
        write_private(
            path, json.dumps(context_body(join_address, fleet_address, server, root)).encode()
        )
        if output == "json":
            show_json(
                {
                    "fleet": fleet,
                    "operator": name,
                    "context": str(path),
                    "totp_uri": uri,
                    "recovery_codes": codes,
                }
            )
            return
        talk.print(
            f"fleet [bold]{safe(fleet)}[/] made in {safe(state)}; CA keys: "
            f"{safe(keys.key_store.place)}"
        )
        show_authenticator(uri)
        show_recovery_codes(codes)
        talk.print(f"context for operators: {safe(path)}")
        talk.print(
            "next: framegate-controller profile add FILE; framegate-controller run; "
            f"framegate login {typed(name)} --context {typed(path)}"
        )


def found_registry(at: StoreAt, keys: FleetKeys, name: str, password: str) -> tuple[str, list[str]]:
    """The registry's first transaction: the default policy, and the first operator.

    What their authenticator app takes, and their recovery codes.
    """
    with registry_at(at) as registry, registry.writing() as tx:
        found_policy(tx, keys)
        return found_operator(tx, keys, name, password)


def _require_unfounded(registry: Store, at: StoreAt) -> None:
    """That no fleet is in the registry: a database may be another's."""
    with registry.reading() as tx:
        if tx.policies.current() is not None:
            hint = "name another database, or keep this fleet"
            raise Refused.of(Reason.CONFLICT, f"no fleet in {at}", "one", hint)
