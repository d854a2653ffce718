"""What people say of verdicts afterwards."""

from __future__ import annotations

from framegate.record.event import Audience, Event, Severity, event


@event("verdict-reviewed", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class VerdictReviewed(Event):
    """Somebody looked at a part and says whether its verdict was right. `device` is the camera;
    `sha256` is of the signed verdict, `because` its reason where it was UNINSPECTED.
    """

    verdict_id: str
    sha256: str
    line: str
    part: str
    part_type: str
    outcome: str
    because: str
    right: bool
    note: str

    @property
    def detail(self) -> str:
        said = "right" if self.right else "WRONG"
        return f"{self.outcome} on {self.part} ({self.part_type}) was {said}: {self.note}"
