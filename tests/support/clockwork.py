"""Clockwork."""

from dataclasses import replace

from framegate_controller.clockwork.staleness import Staleness
from framegate_controller.events.bus import InMemoryBus
from framegate_controller.timing import Timing


def staleness_of(bench, interval_ms=1000):
    fleet = replace(bench.fleet, timing=Timing(interval_ms))
    bus = InMemoryBus(bench.store, fleet)
    return Staleness(bench.store, fleet, bus), bus
