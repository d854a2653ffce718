"""What the commands share: errors as sentences, the registry, and who types on this host."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from framegate.record.entry import Act
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import Store, Transaction
from framegate_host import console
from framegate_host.private_files import closed_folder


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
def registry_in(state: Path) -> Iterator[Store]:
    """The registry in `state`, open for one command; a running controller may have it open too.
    Raises as `close_state`.
    """
    close_state(state)
    database = open_registry(state / "registry.db")
    try:
        yield database
    finally:
        database.close()


@contextmanager
def at_the_host(store: Store) -> Iterator[Transaction]:
    """A transaction in the name of whoever is logged in here: its events are by `host.<user>`."""
    with store.writing() as tx:
        tx.act = Act(actor=f"host.{getpass.getuser()}")
        yield tx
