"""Events of playbooks: put in force, and what they did, asked for, or left alone."""

from __future__ import annotations

from framegate.errors import Reason
from framegate.record.event import Audience, Event, Severity, event


@event("playbook-enabled", severity=Severity.HIGH, seen_by=Audience.FLEET)
class PlaybookEnabled(Event):
    """A playbook is in force from the next entry on. `sha256` is of its text."""

    playbook: str
    revision: int
    mode: str
    sha256: bytes
    note: str = ""

    @property
    def detail(self) -> str:
        said = f"{self.playbook} revision {self.revision}, {self.mode}, {self.sha256.hex()[:16]}"
        return f"{said}: {self.note}" if self.note else said


@event("playbook-disabled", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class PlaybookDisabled(Event):
    """A playbook runs no more, and what it had not done yet is not done."""

    playbook: str
    revision: int
    why: str = ""

    @property
    def detail(self) -> str:
        return f"{self.playbook}: {self.why}" if self.why else self.playbook


@event("playbook-step", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class PlaybookStepDone(Event):
    """A playbook did a step, in the same transaction as what it changed. `trigger` is the entry
    that it answers; `undo` the command that takes it back, empty where nothing does.
    """

    playbook: str
    revision: int
    trigger: int
    step: int
    action: str
    target: str
    undo: str = ""

    @property
    def detail(self) -> str:
        return f"{self.playbook}: {self.action} {self.target}, for entry {self.trigger}"


@event("playbook-step-refused", severity=Severity.HIGH, seen_by=Audience.FLEET)
class PlaybookStepRefused(Event):
    """A playbook's step was not done: the access policy, the machine's state or a rule said no."""

    playbook: str
    revision: int
    trigger: int
    step: int
    action: str
    target: str
    reason: Reason
    why: str

    @property
    def detail(self) -> str:
        return f"{self.playbook}: {self.action} {self.target}: {self.reason}: {self.why}"


@event("playbook-shadowed", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class PlaybookShadowed(Event):
    """What a playbook in mode shadow would have done."""

    playbook: str
    revision: int
    trigger: int
    actions: tuple[str, ...]
    target: str

    @property
    def detail(self) -> str:
        return f"{self.playbook}: would {', '.join(self.actions)} {self.target}"


@event("playbook-held-back", severity=Severity.HIGH, seen_by=Audience.FLEET)
class PlaybookHeldBack(Event):
    """A playbook answers an entry about what no playbook touches: a person has to look."""

    playbook: str
    revision: int
    trigger: int
    target: str
    why: str

    @property
    def detail(self) -> str:
        return f"{self.playbook}: {self.target}, for entry {self.trigger}: {self.why}"


@event("playbook-asked", severity=Severity.HIGH, seen_by=Audience.FLEET)
class PlaybookAsked(Event):
    """A playbook asks a person for what it does not do by itself, in one request."""

    playbook: str
    revision: int
    request: str
    targets: int
    steps: int

    @property
    def detail(self) -> str:
        return f"{self.playbook}: {self.targets} targets in request {self.request}"


@event("playbook-expired", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class PlaybookExpired(Event):
    """Steps will not be done: it was too late, nobody answered, or the answer was no."""

    playbook: str
    steps: int
    why: str

    @property
    def detail(self) -> str:
        return f"{self.playbook}: {self.steps} steps: {self.why}"


@event("playbook-notice", severity=Severity.HIGH, seen_by=Audience.FLEET)
class PlaybookNotice(Event):
    """A playbook tells people what it saw: whatever the record is sent to passes it on."""

    playbook: str
    trigger: int
    about: str
    summary: str

    @property
    def detail(self) -> str:
        return f"{self.playbook}: {self.about}, entry {self.trigger}: {self.summary}"


@event("incident-wanted", severity=Severity.HIGH, seen_by=Audience.FLEET)
class IncidentWanted(Event):
    """A playbook wants an incident opened for an entry: whoever opens incidents follows these."""

    playbook: str
    trigger: int
    about: str
    summary: str

    @property
    def detail(self) -> str:
        return f"{self.playbook}: {self.about}, entry {self.trigger}: {self.summary}"


@event("evidence-kept", severity=Severity.LOW, seen_by=Audience.ZONE)
class EvidenceHeld(Event):
    """A machine's last evidence is not forgotten, however old it becomes."""

    evidence: str
    content_sha256: bytes

    @property
    def detail(self) -> str:
        return f"evidence {self.evidence}, {self.content_sha256.hex()}"


@event("sessions-ended", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class SessionsEnded(Event):
    """Every session of an operator ended, here and at gateways; they may sign in again."""

    operator: str
    sessions: int
    why: str

    @property
    def detail(self) -> str:
        return f"{self.operator}, {self.sessions} sessions: {self.why}"
