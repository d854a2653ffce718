"""Whether a controller runs on a folder: a lock that all who run share, and nobody else gets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Refused
from framegate_controller.registry_address import StoreAt
from framegate_host.file_lock import hold

LOCK: Final = "controller.lock"


@contextmanager
def running(state: Path) -> Iterator[None]:
    """Run on the folder `state`. Raises Refused (CONFLICT) while it is being restored."""
    with _held(state, shared=True, wanted="a folder that is not being restored", hint="try again"):
        yield


@contextmanager
def stopped(at: StoreAt) -> Iterator[None]:
    """Keep controllers from running on a folder, and on its database where it has one. Raises
    Refused (CONFLICT) while one does, Unavailable.
    """
    wanted, hint = "no controller that runs on", "stop it: systemctl stop framegate-controller"
    with (
        _held(at.state, shared=False, wanted=f"{wanted} {at.state}", hint=hint),
        no_other(at),
    ):
        yield


@contextmanager
def no_other(at: StoreAt) -> Iterator[None]:
    """Keep controllers from running on a database, where `at` is one. Raises Refused (CONFLICT)
    while one does, Unavailable.
    """
    if not at.shared:
        yield
        return
    # psycopg is there where it is used: the extra `postgres`
    from framegate_controller.store.postgres import PostgresEngines  # noqa: PLC0415

    engines = PostgresEngines(at)
    try:
        with engines.alone() as alone:
            if not alone:
                hint = "stop each: systemctl stop framegate-controller"
                raise Refused.of(Reason.CONFLICT, f"no controller that runs on {at}", "one", hint)
            yield
    finally:
        engines.close()


@contextmanager
def _held(state: Path, *, shared: bool, wanted: str, hint: str) -> Iterator[None]:
    if not state.is_dir():
        yield  # whoever needs the folder says that it is missing
        return
    try:
        lock = hold(state / LOCK, shared=shared)
    except BlockingIOError as error:
        raise Refused.of(Reason.CONFLICT, wanted, "one", hint) from error
    try:
        yield
    finally:
        os.close(lock)
