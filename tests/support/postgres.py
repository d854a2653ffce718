"""A PostgreSQL server of this run, and registries in it."""

import shutil
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import Database, open_store
from framegate_controller.store.transfer import move_rows
from framegate_simulators.fixtures.postgres import LocalPostgres, local_postgres, programs

NAMES = count(1)
TEMPLATE = "framegate_template"
FOUNDED = "framegate_founded"


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A server with a database that has the schema, to make others of."""
    if programs() is None:
        pytest.skip("PostgreSQL 15 or later is not installed: apt-get install postgresql")
    with local_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres, tmp_path_factory) -> str:
    """A database with an empty registry, to be copied and never opened."""
    address = postgres.create(TEMPLATE)
    open_store(StoreAt(tmp_path_factory.mktemp("template"), address)).close()
    return TEMPLATE


@pytest.fixture
def new_database(postgres, postgres_template) -> Callable[[], str]:
    """Makes a database with an empty registry; its address."""
    return lambda: postgres.create(f"registry_{next(NAMES)}", postgres_template)


@pytest.fixture
def opened(tmp_path) -> Iterator[Callable[..., Database]]:
    """Opens registries by address, each as a controller of its own does; they are closed at the
    end.
    """
    registries = []

    def open_at(address: str, clock=None) -> Database:
        registries.append(open_store(StoreAt(tmp_path, address), clock))
        return registries[-1]

    yield open_at
    for registry in registries:
        registry.close()


@pytest.fixture(scope="session")
def founded_database(postgres, founded_registry, tmp_path_factory) -> str:
    """A database with the founded registry, to be copied and never opened."""
    folder = tmp_path_factory.mktemp("founded")
    shutil.copy(founded_registry, folder / "registry.db")
    address = postgres.create(FOUNDED)
    move_rows(StoreAt(folder), StoreAt(folder, address))
    return FOUNDED


@pytest.fixture
def founded_on_postgres(
    postgres, founded_database, tmp_path, monkeypatch
) -> Callable[..., Database]:
    """Opens a founded registry of this test alone; a test that wants its file is skipped."""
    path = property(lambda _: pytest.skip("is about the registry's file"))
    monkeypatch.setattr(Database, "path", path)

    def open_copy(clock) -> Database:
        address = postgres.create(f"registry_{next(NAMES)}", founded_database)
        return open_store(StoreAt(tmp_path, address), clock)

    return open_copy
