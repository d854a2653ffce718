"""Fleets and registries of a test's own: made once by each process, and copied from then on. Keys
and the steps of the schema are most of what founding costs.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import load_fleet
from framegate_controller.store.database import open_registry
from framegate_simulators.fixtures import controller


def found_controller(state: Path) -> FleetKeys:
    """As `fixtures.controller.found_controller`; the keys are those of every other such fleet."""
    shutil.copytree(_fleet(), state, dirs_exist_ok=True)
    return load_fleet(state / "keys")


def found_registry(path: Path) -> Path:
    """A registry with its schema and nothing in it, at `path`."""
    return Path(shutil.copy(_registry(), path))


@cache
def _fleet() -> Path:
    folder = _folder()
    controller.found_controller(folder)
    return folder


@cache
def _registry() -> Path:
    path = _folder() / "registry.db"
    open_registry(path).close()
    return path


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fg-founded-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
