"""Events about the log of decisions and the witnesses of it."""

from __future__ import annotations

from framegate.record.event import Audience, Event, Severity, event


@event("release-approved", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class ReleaseApproved(Event):
    """A release of this software may be installed; `digest` is of its signed bundle."""

    release: str
    digest: str
    commit: str

    @property
    def detail(self) -> str:
        return f"{self.release}, bundle {self.digest[:16]}, built from {self.commit[:12]}"


@event("witness-failed", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class WitnessFailed(Event):
    """A witness does not cosign the log of decisions; it is asked again and again."""

    witness: str
    why: str

    @property
    def detail(self) -> str:
        return f"{self.witness}: {self.why[:300]!a}"


@event("witness-back", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class WitnessBack(Event):
    """A witness that failed cosigned the log again, over so many decisions."""

    witness: str
    decisions: int

    @property
    def detail(self) -> str:
        return f"{self.witness}: {self.decisions} decisions cosigned"


@event("witness-behind", severity=Severity.HIGH, seen_by=Audience.FLEET)
class WitnessBehind(Event):
    """A witness knows less of the log than it cosigned: an old copy of it was put back, or two run
    under one key.
    """

    witness: str
    cosigned: int
    knows: int

    @property
    def detail(self) -> str:
        return f"{self.witness}: cosigned {self.cosigned} decisions, knows of {self.knows}"


@event("log-forked", severity=Severity.CRITICAL, seen_by=Audience.FLEET)
class LogForked(Event):
    """A witness saw another history of the log of decisions, signed with this fleet's key."""

    witness: str
    why: str

    @property
    def detail(self) -> str:
        return f"{self.witness}: {self.why[:300]!a}"
