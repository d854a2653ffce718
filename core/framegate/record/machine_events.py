"""Events about machines: joining, evidence, states, masks, receipts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from framegate.errors import Reason
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.machines.rollout import Seen
from framegate.record.event import Audience, Event, Severity, event

MAX_CHANGES = 20
"""Changes of posture told in one event; after a reboot there may be hundreds of modules."""
MAX_CHANGE_CHARACTERS = 1000


@event("invited", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class Invited(Event):
    """A machine was registered and a ticket given out."""

    profile: str

    @property
    def detail(self) -> str:
        return f"profile {self.profile}"

    @property
    def states(self) -> tuple[str, str]:
        return "", State.INVITED.value


@event("replacement-invited", severity=Severity.LOW, seen_by=Audience.ZONE)
class ReplacementInvited(Event):
    """A ticket was given out for another machine in a device's place."""

    bound: bool

    @property
    def detail(self) -> str:
        return "bound to an EK" if self.bound else "not bound to an EK"


@event("profile-assigned", severity=Severity.MEDIUM, seen_by=Audience.ZONE)
class ProfileAssigned(Event):
    """A machine is appraised by another firmware profile from now on."""

    before: str
    after: str
    why: str = ""

    @property
    def detail(self) -> str:
        return f"{self.before} -> {self.after}" + (f": {self.why}" if self.why else "")


@event("ticket-used", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class TicketUsed(Event):
    """A TPM proved itself with the machine's ticket, which is spent."""


@event("strangers-refused", severity=Severity.LOW, seen_by=Audience.FLEET)
class StrangersRefused(Event):
    """Calls at the join port were refused in the last minute, before anybody had shown who they
    are. `source` is an IPv4 address or IPv6 /64, or `others`.
    """

    reason: str
    source: str
    count: int

    @property
    def detail(self) -> str:
        return f"{self.count} times {self.reason[:64]!a} for {self.source[:64]!a}"


@event("join-port-restarted", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class JoinPortRestarted(Event):
    """The process at the join port ended, or stood still and was ended, and another took its place.
    `count`: how often since the last such entry.
    """

    why: str
    count: int

    @property
    def detail(self) -> str:
        return self.why if self.count == 1 else f"{self.why}, {self.count} times"


ALARMING: Final[Mapping[str, Severity]] = MappingProxyType(
    {
        Edge.CONTRADICTED: Severity.HIGH,
        Edge.QUARANTINE: Severity.HIGH,
        Edge.LATE: Severity.LOW,
    }
)
"""Edges that ask more of people than others do, by the event's name."""


@event(*(e.value for e in Edge), severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class DeviceMoved(Event):
    """A machine went from one state to another; the event is named after the edge it took."""

    edge: Edge
    before: State
    after: State
    why: str = ""

    @property
    def name(self) -> str:
        return self.edge.value

    @property
    def severity(self) -> Severity:
        return ALARMING.get(self.edge, self.DECLARED.severity)

    @property
    def detail(self) -> str:
        return self.why

    @property
    def states(self) -> tuple[str, str]:
        return self.before.value, self.after.value


@event("attested", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE, routine=True)
class Attested(Event):
    """A trusted machine proved itself again."""

    result: str
    evidence_sha256: bytes
    profile: str

    @property
    def detail(self) -> str:
        return f"result {self.result}, evidence {self.evidence_sha256.hex()}, {self.profile}"


@event("evidence-refused", severity=Severity.HIGH, seen_by=Audience.ZONE)
class EvidenceRefused(Event):
    """What came as evidence did not hold."""

    reasons: tuple[Reason, ...]

    @property
    def detail(self) -> str:
        return "; ".join(self.reasons)


@event("posture-changed", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE, routine=True)
class PostureChanged(Event):
    """What a machine says of itself changed: its own word."""

    changes: tuple[str, ...]

    @property
    def detail(self) -> str:
        left = len(self.changes) - MAX_CHANGES
        told = "; ".join(self.changes[:MAX_CHANGES])[:MAX_CHANGE_CHARACTERS]
        return told + (f" and {left} more" if left > 0 else "")

    def members(self) -> dict[str, object]:
        return {"changes": len(self.changes)}


@event("attest-now", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class EvidenceAsked(Event):
    """Somebody asked a machine for evidence now."""

    why: str

    @property
    def detail(self) -> str:
        return self.why


@event("counters-accepted", severity=Severity.MEDIUM, seen_by=Audience.ZONE)
class CountersAccepted(Event):
    """Somebody accepted that a TPM's counters fell; the next evidence sets the new baseline."""

    why: str

    @property
    def detail(self) -> str:
        return self.why


@event("maintenance-began", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class MaintenanceBegan(Event):
    """A machine is serviced: not inspected with, its silence expected."""

    minutes: int
    why: str

    @property
    def detail(self) -> str:
        return f"{self.minutes} min: {self.why}"


@event("maintenance-ended", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class MaintenanceEnded(Event):
    """Maintenance is over, by its time or by somebody's word."""

    by_time: bool

    @property
    def detail(self) -> str:
        return "its time is over" if self.by_time else ""


@event("masks-set", severity=Severity.MEDIUM, seen_by=Audience.ZONE)
class MasksSet(Event):
    """A camera's privacy masks changed."""

    version: int
    regions: int

    @property
    def detail(self) -> str:
        return f"version {self.version}, {self.regions} regions"


@event("rollout", severity=Severity.INFORMATIONAL, seen_by=Audience.ZONE)
class RolloutSeen(Event):
    """What a rollout sees of a machine changed."""

    rollout: str
    before: Seen
    after: Seen

    @property
    def detail(self) -> str:
        return f"{self.rollout}: {self.before} -> {self.after}"


@event("receipt-store-new", severity=Severity.MEDIUM, seen_by=Audience.ZONE)
class ReceiptStoreNew(Event):
    """A gateway began a new chain of receipts."""

    store: str

    @property
    def detail(self) -> str:
        return f"store {self.store}; where there was an earlier one, its receipts are on that disk"


@event("receipts-recovered", severity=Severity.LOW, seen_by=Audience.ZONE)
class ReceiptsRecovered(Event):
    """Receipts of a process that ended before it signed them were signed by its successor, and say
    so.
    """

    count: int

    @property
    def detail(self) -> str:
        return f"{self.count} receipts of a process that ended before it signed them"
