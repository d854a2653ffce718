"""Whether a controller runs on a folder: a lock that all who run share, and nobody else gets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Refused
from framegate_host.file_lock import hold

LOCK: Final = "controller.lock"


@contextmanager
def running(state: Path) -> Iterator[None]:
    """Run on the folder `state`. Raises Refused (CONFLICT) while it is being restored."""
    with _held(state, shared=True, wanted="a folder that is not being restored", hint="try again"):
        yield


@contextmanager
def stopped(state: Path) -> Iterator[None]:
    """Keep controllers from running on the folder `state`. Raises Refused (CONFLICT) while one
    does.
    """
    hint = "stop it: systemctl stop framegate-controller; then framegate-controller restore"
    with _held(state, shared=False, wanted=f"no controller that runs on {state}", hint=hint):
        yield


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
