"""Events about goals, and about what people say that only they know."""

from __future__ import annotations

from framegate.record.event import Audience, Event, Severity, event


@event("goals-set", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class GoalsSet(Event):
    """Goals are in force, exactly as `text` (TOML) has them; they replace all of before."""

    goals: int
    sha256: str
    text: str

    @property
    def detail(self) -> str:
        return f"{self.goals} goals, {self.sha256[:16]}"


@event("goal-missed", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class GoalMissed(Event):
    """A goal is not met although its day has come, or is not met any more. `evidence` are entries
    that show the fact.
    """

    goal: str
    fact: str
    zone: str
    target: str
    actual: str
    evidence: tuple[int, ...] = ()

    @property
    def detail(self) -> str:
        where = self.zone or "the fleet"
        return f"{self.goal}: {self.fact} of {where} is {self.actual}, wanted {self.target}"


@event("goal-met", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class GoalMet(Event):
    """A goal that was missed is met again."""

    goal: str
    fact: str
    zone: str
    target: str
    actual: str

    @property
    def detail(self) -> str:
        where = self.zone or "the fleet"
        return f"{self.goal}: {self.fact} of {where} is {self.actual}, wanted {self.target}"


@event("posture-stated", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class PostureStated(Event):
    """An operator said what only a person knows, signed with the key of their session. `envelope`
    is what they signed, `issuer` (DER, base64) the authority of their certificate.
    """

    statements: int
    about: tuple[str, ...]
    expires_ms: int
    envelope: str
    issuer: str

    @property
    def detail(self) -> str:
        told = ", ".join(self.about[:8])
        more = len(self.about) - 8
        return told + (f" and {more} more" if more > 0 else "")
