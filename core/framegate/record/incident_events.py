"""Events that incidents are made of. An incident is its entries: nothing of it stands elsewhere,
and none of it is ever changed.
"""

from __future__ import annotations

from enum import StrEnum

from framegate.record.event import Audience, Event, Severity, event


class IncidentVerdict(StrEnum):
    """What an incident came to; OCSF 1.8.0, Incident Finding, `verdict`."""

    TRUE_POSITIVE = "true-positive"
    FALSE_POSITIVE = "false-positive"
    BENIGN = "benign"
    TEST = "test"
    DISREGARD = "disregard"
    INSUFFICIENT_DATA = "insufficient-data"


@event("incident-opened", severity=Severity.HIGH, seen_by=Audience.ZONE)
class IncidentOpened(Event):
    """Something was found that somebody has to look into. The incident's number is that of this
    entry; `trigger` is the entry that it was opened for, `about` its device, or its event where it
    is about none.
    """

    about: str
    title: str
    trigger: int
    priority: int
    detected_ms: int
    drill: bool

    @property
    def detail(self) -> str:
        return f"{'drill: ' if self.drill else ''}{self.title} about {self.about}"


@event("incident-linked", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class IncidentLinked(Event):
    """More was found that belongs to an open incident: entries of the record by their numbers."""

    incident: int
    entries: tuple[int, ...]

    @property
    def detail(self) -> str:
        return f"incident {self.incident}, findings: {len(self.entries)}"


@event("incident-step", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class IncidentStep(Event):
    """Something was done, or moved, in an open incident: `entries` tell it."""

    incident: int
    entries: tuple[int, ...]
    what: str

    @property
    def detail(self) -> str:
        return f"incident {self.incident}: {self.what}"


@event("incident-noted", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class IncidentNoted(Event):
    """Somebody wrote something down about an incident."""

    incident: int
    note: str

    @property
    def detail(self) -> str:
        return f"incident {self.incident}: {self.note}"


@event("incident-assigned", severity=Severity.LOW, seen_by=Audience.ZONE)
class IncidentAssigned(Event):
    """An incident is somebody's to look into."""

    incident: int
    assignee: str

    @property
    def detail(self) -> str:
        return f"incident {self.incident}: {self.assignee}"


@event("incident-closed", severity=Severity.LOW, seen_by=Audience.ZONE)
class IncidentClosed(Event):
    """An incident is over; `verdict` says what it came to."""

    incident: int
    verdict: IncidentVerdict
    note: str

    @property
    def detail(self) -> str:
        return f"incident {self.incident}: {self.verdict}: {self.note}"


@event("drill-declared", severity=Severity.MEDIUM, seen_by=Audience.ZONE)
class DrillDeclared(Event):
    """What is found about a machine until `until_ms` is of a drill, and counted apart from what is
    real. It is answered like anything else.
    """

    until_ms: int
    why: str

    @property
    def detail(self) -> str:
        return self.why
