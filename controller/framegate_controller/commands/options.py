"""What the commands share: errors as sentences, the registry, and who types on this host."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from framegate.record.entry import Act
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import load_fleet
from framegate_controller.fleet.controllers import other_authorities
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import Database, open_store
from framegate_controller.store.ports import Store, Transaction
from framegate_host import console
from framegate_host.private_files import closed_folder, write_private
from framegate_host.setting_records import KEPT_FILE
from framegate_host.setting_values import toml_of


def keep_address(at: StoreAt) -> None:
    """Keep in the folder where its registry is, for every later command on it."""
    told = {"store": at.address, "store_password_file": at.password_file}
    lines = [f"{name} = {toml_of(value)}" for name, value in told.items() if value]
    if lines or (at.state / KEPT_FILE).exists():
        write_private(at.state / KEPT_FILE, "".join(f"{line}\n" for line in lines).encode())


def errors() -> AbstractContextManager[None]:
    """As `console.errors`, each failure with the next command: its own hint, or this one's help."""
    return console.errors(following={})


def keys_folder(state: Path) -> Path:
    """Where the fleet's keys lie, see `close_state`."""
    close_state(state)
    return state / "keys"


def close_state(state: Path) -> None:
    """Close a controller's folder, and that of its keys in it, to others, with a warning, before
    anything in them is read or copied. Nothing where there is none.

    Raises Refused (USAGE) as `state_folder`.
    """
    for folder in (state, state / "keys"):
        if folder.is_dir():
            closed_folder(folder)


@contextmanager
def registry_at(at: StoreAt) -> Iterator[Database]:
    """A controller's registry, open for one command; running controllers may have it open too.
    Raises as `close_state`, Unavailable.
    """
    close_state(at.state)
    database = open_store(at)
    try:
        yield database
    finally:
        database.close()


def known_keys(at: StoreAt, passphrase_file: Path | None) -> FleetKeys:
    """The fleet's keys in a controller's folder, with the issuing CAs of the controllers that share
    its registry. Raises as `load_fleet`, `open_store`.
    """
    keys = load_fleet(keys_folder(at.state), passphrase_file)
    if not at.shared:
        return keys
    with registry_at(at) as registry, registry.reading() as tx:
        return replace(keys, beside=other_authorities(tx, keys.root.certificate, ""))


@contextmanager
def at_the_host(store: Store) -> Iterator[Transaction]:
    """A transaction in the name of whoever is logged in here: its events are by `host.<user>`."""
    with store.writing() as tx:
        tx.act = Act(actor=f"host.{getpass.getuser()}")
        yield tx
