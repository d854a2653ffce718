"""Events about where the record is sent: SIEMs and other sinks."""

from __future__ import annotations

from framegate.record.event import Audience, Event, Severity, event


@event("siem-added", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class SinkAdded(Event):
    """The record is sent to one sink more, from entry `first` on."""

    sink: str
    sink_kind: str
    address: str
    first: int

    @property
    def detail(self) -> str:
        return f"{self.sink}: {self.sink_kind} {self.address}, from entry {self.first}".rstrip()


@event("siem-removed", severity=Severity.HIGH, seen_by=Audience.FLEET)
class SinkRemoved(Event):
    """The record is sent to a sink no more; it had confirmed all entries below `confirmed`."""

    sink: str
    confirmed: int

    @property
    def detail(self) -> str:
        return f"{self.sink}: it had confirmed the entries below {self.confirmed}"


@event("siem-tested", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class SinkTested(Event):
    """Somebody asked for an entry that a sink has to confirm, to see whether it does."""

    sink: str

    @property
    def detail(self) -> str:
        return self.sink


@event("siem-silent", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class SinkSilent(Event):
    """A sink has confirmed nothing for minutes although entries wait for it."""

    sink: str
    waiting: int
    why: str

    @property
    def detail(self) -> str:
        return f"{self.sink}: {self.waiting} entries wait; {self.why[:300]!a}"


@event("siem-back", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class SinkBack(Event):
    """A sink that was silent confirms again; every entry that waited is sent to it."""

    sink: str
    confirmed: int

    @property
    def detail(self) -> str:
        return f"{self.sink}: it confirmed the entries below {self.confirmed}"


@event("siem-dead-letter", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class DeadLetter(Event):
    """A sink will not have these entries, however often they are sent; the record has them.

    `entries` are indices, or ranges of indices with how many of each were refused.
    """

    sink: str
    entries: tuple[str, ...]
    why: str

    @property
    def detail(self) -> str:
        return f"{self.sink} will not have {', '.join(self.entries)[:400]}: {self.why[:300]!a}"
