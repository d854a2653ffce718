"""A bus and its snapshots."""

import pytest

from framegate_controller.events.bus import InMemoryBus
from framegate_controller.events.snapshot import Teller


@pytest.fixture
def bus(bench):
    """A bus over the registry of `bench`."""
    bench.enrol()
    return InMemoryBus(bench.store, bench.fleet)


def snapshot(bench, zone="line-1"):
    with bench.store.reading() as tx:
        return Teller(tx, bench.fleet).snapshot(zone)
