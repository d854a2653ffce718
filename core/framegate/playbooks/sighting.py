"""An entry of the record, as playbooks see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from framegate.access.caller import OPERATOR_PREFIX, PLAYBOOK_PREFIX
from framegate.findings.kinds import FindingKind
from framegate.record.event import Severity
from framegate.record.events import events
from framegate.record.machine_events import ALARMING

ROUTINE: Final = tuple(n for n, e in events().items() if e.DECLARED.routine)
"""Events that no playbook looks at: they are most of the record, and tell of nothing new."""
CLAIMED: Final = frozenset(
    {
        "sign-in-failed",
        "access-asked",
        "report-refused",
        FindingKind.OPENING_REFUSED.value,
        FindingKind.SEAL_REFUSED.value,
        FindingKind.FRAME_REPLAYED.value,
        FindingKind.SEGMENT_SPOOFED.value,
        FindingKind.SEGMENT_REFUSED.value,
        FindingKind.SEGMENT_WOULD_REFUSE.value,
    }
)
"""Events about whom somebody else named: whoever types a person's name, shows a camera's public
certificate over a broker, sends its frames again, has its address, brings a report that says it is
of another gateway, or asks for a role in a zone. Who is named may have done nothing (N217).
"""
CLAIMED_RULES: Final = frozenset({"failures-then-success", "exports"})
"""Rules of behaviour that strangers' failures, or a gateway's word alone, can meet for a person."""
_PARTS: Final = 3
"""A device id is `<kind>.<zone>.<name>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Which entry, when (the entry's own time), what happened, and to whom. `state` is the state
    that a machine came to; `approved_by` who backed the act that the entry tells of; `claimed`
    that whom it names has shown nothing: somebody else can have named them.
    """

    index: int
    at_ms: int
    event: str
    severity: Severity
    reasons: frozenset[str]
    device: str
    zone: str
    operator: str
    actor: str
    state: str
    approved_by: frozenset[str]
    claimed: bool
    members: Mapping[str, Any]

    @property
    def by_playbook(self) -> bool:
        """Whether a playbook did it: then no playbook answers it."""
        return self.actor.startswith(PLAYBOOK_PREFIX)


def sighting_of(entry: Mapping[str, Any]) -> Sighting:
    """Of an entry's JSON, out of the record."""
    members = entry.get("members") or {}
    device, actor = str(entry.get("device", "")), str(entry["actor"])
    parts = device.split(".")
    zone = parts[1] if len(parts) == _PARTS else str(members.get("zone", ""))
    said = members.get("operator") or actor.removeprefix(OPERATOR_PREFIX)
    person = bool(members.get("operator")) or actor.startswith(OPERATOR_PREFIX)
    return Sighting(
        index=int(entry["index"]),
        at_ms=int(entry["at_ms"]),
        event=str(entry["event"]),
        severity=severity_of(str(entry["event"])),
        reasons=_reasons(members),
        device=device,
        zone=zone,
        operator=str(said) if person else "",
        actor=actor,
        state=str(entry.get("to", "")),
        approved_by=frozenset(map(str, entry.get("approved_by") or ())),
        claimed=str(entry["event"]) in CLAIMED or members.get("rule") in CLAIMED_RULES,
        members=members,
    )


def severity_of(event: str) -> Severity:
    """How much an event asks of people, by its name; one that this version does not know asks for
    nothing.
    """
    declared = events().get(event)
    usual = declared.DECLARED.severity if declared is not None else Severity.INFORMATIONAL
    return ALARMING.get(event, usual)


def _reasons(members: Mapping[str, Any]) -> frozenset[str]:
    listed, single = members.get("reasons") or (), members.get("reason")
    return frozenset([*map(str, listed), *([str(single)] if single else [])])
