"""The closed list of events: importing this module declares every one of them."""

from __future__ import annotations

from collections.abc import Mapping

# importing declares
from framegate.record import (  # noqa: F401
    behaviour_events,
    fleet_events,
    incident_events,
    machine_events,
    people_events,
    site_events,
)
from framegate.record.event import Event, declared


def events() -> Mapping[str, type[Event]]:
    """Every event of the record by its name."""
    return declared()
