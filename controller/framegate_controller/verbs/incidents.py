"""Incidents: look at them, write down what is known, close them; and say that a drill is on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.names import split_device_id
from framegate.record.event import Event
from framegate.record.incident_events import (
    DrillDeclared,
    IncidentAssigned,
    IncidentClosed,
    IncidentNoted,
    IncidentVerdict,
)
from framegate.record.incidents import Incident
from framegate_controller.people.authority import Aim
from framegate_controller.record.incidents import book_of, entries_of, incident_of
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_NOTE: Final = 2_000
"""Characters: a paragraph, which stands in the record for good."""
MAX_LISTED: Final = 1_000
DEFAULT_LISTED: Final = 50
MAX_DRILL_MIN: Final = 480
"""A shift: who forgets to end a drill has the real thing counted apart until then."""


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident, and the entries of the record that it is made of."""

    incident: Incident
    entries: tuple[bytes, ...]


def zone_of(incident: Incident) -> str:
    """The zone of what it is about; empty where that is the fleet."""
    return split_device_id(incident.device).zone if incident.device.count(".") == 2 else ""


def _aim(tx: Transaction, verb: str, number: int) -> Aim:
    incident = incident_of(tx, number)
    said = f"{incident.title} about {incident.about}"
    return Aim(verb, zone_of(incident), f"incident {number}", said)


def _view(tx: Transaction, number: int) -> IncidentView:
    incident = incident_of(tx, number)
    return IncidentView(incident, tuple(entries_of(tx, incident)))


def _open(tx: Transaction, number: int) -> Incident:
    incident = incident_of(tx, number)
    if not incident.open:
        hint = "what comes after it is another incident: framegate incident list"
        raise Refused.of(Reason.CONFLICT, "an open incident", f"{number}, closed", hint)
    return incident


def _text(text: str, name: str) -> str:
    """Raises Malformed (USAGE)."""
    if not text.strip() or len(text) > MAX_NOTE:
        wanted = f"a {name} of 1 to {MAX_NOTE} characters"
        raise Malformed.of(Reason.USAGE, wanted, len(text))
    return text


@dataclass(frozen=True, slots=True)
class ListIncidents(Verb[list[Incident]]):
    """Incidents of the zones the caller sees, the newest first; closed ones only if asked for."""

    closed_too: bool
    most: int

    @classmethod
    def parse(cls, request: pb.ListIncidentsRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.all, min(request.limit or DEFAULT_LISTED, MAX_LISTED))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("incident.list")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[Incident]]:
        """See `Verb.run`."""
        zones = call.allowed.zones
        told = [
            i
            for i in reversed(book_of(tx).incidents.values())
            if (i.open or self.closed_too) and (zones is None or zone_of(i) in zones)
        ]
        return Outcome(told[: self.most])


@dataclass(frozen=True, slots=True)
class ShowIncident(Verb[IncidentView]):
    """One incident, with the entries of the record that it is made of."""

    number: int

    @classmethod
    def parse(cls, request: pb.IncidentRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.incident)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return _aim(tx, "incident.show", self.number)

    def run(self, tx: Transaction, call: Call) -> Outcome[IncidentView]:
        """See `Verb.run`."""
        return Outcome(_view(tx, self.number))


@dataclass(frozen=True, slots=True)
class NoteIncident(Verb[IncidentView]):
    """Write something down about an incident, a closed one too."""

    number: int
    note: str

    @classmethod
    def parse(cls, request: pb.NoteIncidentRequest) -> Self:
        """Raises Malformed (USAGE)."""
        return cls(request.incident, _text(request.note, "note"))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return _aim(tx, "incident.change", self.number)

    def run(self, tx: Transaction, call: Call) -> Outcome[IncidentView]:
        """See `Verb.run`."""
        incident = incident_of(tx, self.number)
        return _told(
            tx, IncidentNoted(device=incident.device, incident=self.number, note=self.note)
        )


@dataclass(frozen=True, slots=True)
class AssignIncident(Verb[IncidentView]):
    """Make an open incident an operator's to look into."""

    number: int
    assignee: str

    @classmethod
    def parse(cls, request: pb.AssignIncidentRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.incident, request.assignee)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return _aim(tx, "incident.change", self.number)

    def run(self, tx: Transaction, call: Call) -> Outcome[IncidentView]:
        """See `Verb.run`. Raises Refused (NOT_FOUND) for whom nobody knows."""
        incident, assignee = _open(tx, self.number), tx.people.find(self.assignee)
        if not assignee.enabled:
            hint = "framegate operator list"
            raise Refused.of(Reason.CONFLICT, "an operator who is let in", assignee.name, hint)
        name = assignee.name
        return _told(
            tx, IncidentAssigned(device=incident.device, incident=self.number, assignee=name)
        )


@dataclass(frozen=True, slots=True)
class CloseIncident(Verb[IncidentView]):
    """Say what an open incident came to, and close it."""

    number: int
    verdict: IncidentVerdict
    note: str

    @classmethod
    def parse(cls, request: pb.CloseIncidentRequest) -> Self:
        """Raises Malformed (USAGE)."""
        try:
            verdict = IncidentVerdict(request.verdict)
        except ValueError as error:
            wanted = " or ".join(IncidentVerdict)
            raise Malformed.of(Reason.USAGE, wanted, ascii(request.verdict[:40])) from error
        return cls(request.incident, verdict, _text(request.note, "note"))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return _aim(tx, "incident.close", self.number)

    def run(self, tx: Transaction, call: Call) -> Outcome[IncidentView]:
        """See `Verb.run`."""
        incident = _open(tx, self.number)
        closed = IncidentClosed(
            device=incident.device, incident=self.number, verdict=self.verdict, note=self.note
        )
        return _told(tx, closed)


def _told(tx: Transaction, event: Event) -> Outcome[IncidentView]:
    tx.record(event)
    return Outcome(_view(tx, int(event.members()["incident"])))


@dataclass(frozen=True, slots=True)
class Drill:
    """A machine about which findings are of a drill until `until_ms`."""

    device: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class DeclareDrill(Verb[Drill]):
    """What is found about a machine from now on is of a drill, for so many minutes; 0 ends it."""

    device: str
    minutes: int
    why: str

    @classmethod
    def parse(cls, request: pb.DeclareDrillRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if request.minutes > MAX_DRILL_MIN:
            raise Malformed.of(Reason.USAGE, f"at most {MAX_DRILL_MIN} minutes", request.minutes)
        if not request.reason.strip():
            raise Malformed.of(Reason.USAGE, "a reason", "none", "--reason TEXT")
        return cls(request.device, request.minutes, request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        device = tx.devices.find(self.device)
        said = f"{self.minutes} minutes of drill at {device.id}"
        return Aim("incident.drill", device.zone, device.id, said)

    def run(self, tx: Transaction, call: Call) -> Outcome[Drill]:
        """See `Verb.run`."""
        device = tx.devices.find(self.device)
        until_ms = tx.now_ms + 60_000 * self.minutes if self.minutes else 0
        tx.record(DrillDeclared(device=device.id, until_ms=until_ms, why=self.why))
        return Outcome(Drill(device.id, until_ms))
