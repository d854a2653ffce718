"""What people and playbooks alike do in an emergency, beside holding machines: end somebody's
sessions, keep evidence for good, tell everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from framegate.access.verbs import FLEET_WIDE
from framegate.errors import Malformed, Reason, Refused
from framegate.playbooks.actions import Action
from framegate.record.playbook_events import (
    EvidenceHeld,
    IncidentWanted,
    PlaybookNotice,
    SessionsEnded,
)
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.authority import Aim
from framegate_controller.people.operators import end_sessions
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_HELD: Final = 16
"""Evidence of one machine that is never forgotten: some megabytes of boot logs and IMA lists. A
machine that is contradicted again and again would fill the registry.
"""


@dataclass(frozen=True, slots=True)
class EndedSessions:
    """Whose sessions ended, and how many."""

    operator: str
    sessions: int


@dataclass(frozen=True, slots=True)
class EndSessions(Verb[EndedSessions]):
    """End every session of a person, here and at gateways; they may sign in again."""

    name: str
    why: str

    @classmethod
    def parse(cls, request: pb.EndSessionsRequest) -> Self:
        """Raises Malformed (USAGE)."""
        if not request.reason.strip():
            raise Malformed.of(Reason.USAGE, "a reason", "none", "--reason TEXT")
        return cls(request.name, request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        name = tx.people.find(self.name).name
        return Aim("session.end", target=name, summary=f"end the sessions of {name}")

    def run(self, tx: Transaction, call: Call) -> Outcome[EndedSessions]:
        """See `Verb.run`."""
        name = tx.people.find(self.name).name
        ended = end_sessions(tx, name)
        tx.record(SessionsEnded(operator=name, sessions=ended, why=self.why))
        return Outcome(EndedSessions(name, ended), (AccessChanged(),))


@dataclass(frozen=True, slots=True)
class KeptForGood:
    """Which evidence of which machine."""

    device: str
    evidence: str


@dataclass(frozen=True, slots=True)
class KeepEvidence(Verb[KeptForGood]):
    """Never forget a machine's last evidence, with the boot log and IMA list that it refers to."""

    device: str

    @classmethod
    def parse(cls, request: pb.DeviceRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.device)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        device = tx.devices.find(self.device)
        return Aim("evidence.keep", device.zone, device.id)

    def run(self, tx: Transaction, call: Call) -> Outcome[KeptForGood]:
        """See `Verb.run`. Raises Refused (NOT_FOUND, TOO_LARGE)."""
        device = tx.devices.find(self.device)
        last = tx.evidence.last_content(device.id)
        if last is None:
            raise Refused.of(Reason.NOT_FOUND, f"evidence of {device.id} that verified", "none")
        identifier, content = last
        if not tx.evidence.is_held(identifier) and tx.evidence.held_of(device.id) >= MAX_HELD:
            wanted = f"at most {MAX_HELD} of {device.id} kept for good"
            raise Refused.of(Reason.TOO_LARGE, wanted, MAX_HELD, "framegate evidence show NAME")
        tx.evidence.hold(identifier, device.id, tx.now_ms)
        held = EvidenceHeld(device=device.id, evidence=identifier, content_sha256=content)
        tx.record(held)
        return Outcome(KeptForGood(device.id, identifier))


@dataclass(frozen=True, slots=True)
class Tell(Verb[None]):
    """A playbook tells people, or wants an incident: an entry, which sinks and whoever opens
    incidents follow. People have other ways to say something.
    """

    action: Action
    about: str
    trigger: int
    summary: str

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("playbook.tell", FLEET_WIDE, self.about, f"{self.action} about {self.about}")

    def run(self, tx: Transaction, call: Call) -> Outcome[None]:
        """See `Verb.run`."""
        aimed = Aim("playbook.tell", target=self.about)
        event = IncidentWanted if self.action == Action.OPEN_INCIDENT else PlaybookNotice
        tx.record(
            event(
                device=aimed.device,
                playbook=call.caller.name,
                trigger=self.trigger,
                about=self.about,
                summary=self.summary,
            )
        )
        return Outcome(None)
