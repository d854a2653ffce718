"""A PostgreSQL server of this run, and registries in it."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import Database, open_store
from framegate_simulators.fixtures.postgres import LocalPostgres, local_postgres, programs

NAMES = count(1)
TEMPLATE = "framegate_template"


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
