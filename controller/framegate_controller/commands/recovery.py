"""For the day when nobody can sign in: a sealed credential; a new code for who lost all factors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framegate.errors import Reason, Refused
from framegate_controller.ca.open import load_fleet
from framegate_controller.commands.options import (
    at_the_host,
    errors,
    keys_folder,
    registry_at,
)
from framegate_controller.people.operators import quorum, reset_factors
from framegate_controller.people.signin import seal_break_glass
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import ControllerSettings
from framegate_host.console import safe, talk, typed
from framegate_host.printing import show_text
from framegate_host.private_files import require_place, write_private
from framegate_host.setting_flags import with_settings


@with_settings(ControllerSettings)
def break_glass(
    out: Annotated[
        Path,
        typer.Option(
            help="Where to write the sealed credential; print it, put it into an envelope, "
            "delete the file."
        ),
    ],
    state: Path,
    store: str,
    store_password_file: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Seal a credential for the day when nobody else can sign in or approve: admin and security
    for an hour, once, and everybody is told.

    Used with: framegate login NAME --break-glass FILE. A new one takes the place of the old.
    """
    with errors():
        require_place(out)
        load_fleet(
            keys_folder(state), passphrase_file
        )  # whoever cannot open the fleet's keys seals nothing
        at = StoreAt(state, store, store_password_file)
        with registry_at(at) as registry, at_the_host(registry) as tx:
            code = seal_break_glass(tx)
        write_private(out, code.encode() + b"\n")
        talk.print(
            f"{safe(out)}: a sealed credential, good once; whoever uses it is told to everybody "
            "until somebody else has looked into it"
        )


@with_settings(ControllerSettings)
def recover_operator(
    name: Annotated[str, typer.Argument(help="The operator's name.")],
    state: Path,
    store: str,
    store_password_file: Path | None,
) -> None:
    """A new enrolment code for an operator who lost every factor, while nobody else can help.
    Works only as long as the quorum is one; else use break-glass.
    """
    with errors():
        at = StoreAt(state, store, store_password_file)
        with registry_at(at) as registry, at_the_host(registry) as tx:
            people = quorum(tx)
            if people > 1:
                wanted = "a fleet whose decisions take one person"
                hint = f"somebody else: framegate operator reset-mfa {name}"
                raise Refused.of(Reason.APPROVAL_NEEDED, wanted, people, hint)
            _, code = reset_factors(tx, tx.people.find(name))
        talk.print(f"next, within 24 h: framegate login {typed(name)} --enrol")
        show_text(code)
