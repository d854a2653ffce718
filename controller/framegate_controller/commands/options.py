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


def errors() -> AbstractContextManager[None]:
    """As `console.errors`, each failure with the next command: its own hint, or this one's help."""
    return console.errors(following={})


def keys_folder(state: Path) -> Path:
    """Where the fleet's keys lie."""
    return state / "keys"


@contextmanager
def registry_in(state: Path) -> Iterator[Store]:
    """The registry in `state`, open for one command; a running controller may have it open too."""
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
