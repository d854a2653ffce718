"""The event that a rule over what people do was met."""

from __future__ import annotations

from framegate.record.event import Audience, Event, Severity, event


@event("behaviour-noticed", severity=Severity.LOW, seen_by=Audience.FLEET)
class BehaviourNoticed(Event):
    """What somebody did met a rule of behaviour: entries `first` to `last` of the record, `count`
    of them or what they weigh. `rank` is the rule's severity.
    """

    rule: str
    kind: str
    operator: str
    first: int
    last: int
    count: int
    what: str
    rank: int

    @property
    def severity(self) -> Severity:
        return Severity(self.rank)

    @property
    def detail(self) -> str:
        return f"{self.rule}: {self.operator}: {self.what} (entries {self.first} to {self.last})"
