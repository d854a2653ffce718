"""The closed list of events: importing this module declares every one of them."""

from __future__ import annotations

from collections.abc import Mapping

# importing declares
from framegate.record import (  # noqa: F401
    assessment_events,
    behaviour_events,
    federation_events,
    fleet_events,
    incident_events,
    machine_events,
    people_events,
    playbook_events,
    review_events,
    sink_events,
    site_events,
    transparency_events,
)
from framegate.record.event import Event, Severity, declared
from framegate.record.machine_events import ALARMING
from framegate.record.site_events import SITE_SEVERITIES


def events() -> Mapping[str, type[Event]]:
    """Every event of the record by its name."""
    return declared()


def severity_of(name: str) -> Severity:
    """How much an event called so asks of people; as little as any for what is no event."""
    known = declared().get(name)
    if known is None:
        return Severity.INFORMATIONAL
    by_name: Mapping[str, Severity] = {
        **ALARMING,
        **{kind.value: severity for kind, severity in SITE_SEVERITIES.items()},
    }
    return by_name.get(name, known.DECLARED.severity)
