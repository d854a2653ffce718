"""Events about people: signing in, roles, requests and what the access policy said."""

from __future__ import annotations

from framegate.errors import Reason
from framegate.record.event import Audience, Event, Severity, event


@event("signed-in", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class SignedIn(Event):
    """A person signed in."""

    method: str
    source: str

    @property
    def detail(self) -> str:
        return f"{self.method} from {self.source}"


@event("break-glass-used", severity=Severity.CRITICAL, seen_by=Audience.FLEET)
class BreakGlassUsed(Event):
    """A sealed credential was opened: admin and security for an hour."""

    source: str

    @property
    def detail(self) -> str:
        return f"break-glass from {self.source}"


@event("break-glass-sealed", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class BreakGlassSealed(Event):
    """A new sealed credential took the place of the old one."""


@event("break-glass-reviewed", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class BreakGlassReviewed(Event):
    """Somebody else has looked into the use of a sealed credential."""

    request: str
    summary: str
    remark: str

    @property
    def detail(self) -> str:
        return f"{self.request}: {self.summary}; {self.remark}"


@event("sign-in-failed", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class SignInFailed(Event):
    """Factors that do not belong together, or a provider's `subject` who is no operator. `claimed`
    is the stranger's own word. The first of a kind from a network is told at once, as many as
    `count` more with the next minute.
    """

    what: str = ""
    source: str = ""
    claimed: str | None = None
    subject: str = ""
    count: int = 1

    @property
    def detail(self) -> str:
        again = f", {self.count} times" if self.count > 1 else ""
        if self.subject:
            whom = f"subject {self.subject[:100]!a}, who is no operator here"
            return f"the provider vouches for {whom}{again}"
        claimed = f" as {self.claimed[:63]!a}" if self.claimed is not None else ""
        return f"{self.what} from {self.source}{claimed}{again}"


@event("signed-out", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class SignedOut(Event):
    """A person ended their session."""


@event("factor-shown", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class FactorShown(Event):
    """A second factor was shown again."""

    factor: str
    source: str

    @property
    def detail(self) -> str:
        return f"{self.factor} from {self.source}"


@event("factor-failed", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class FactorFailed(Event):
    """A wrong or used second factor in a session that stands."""

    source: str

    @property
    def detail(self) -> str:
        return f"from {self.source}"


@event("security-key-added", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class SecurityKeyAdded(Event):
    """A person registered a security key of theirs."""

    label: str

    @property
    def detail(self) -> str:
        return self.label


@event("security-key-suspected", severity=Severity.HIGH, seen_by=Audience.FLEET)
class SecurityKeySuspected(Event):
    """A security key's signature counter did not rise: it may have been copied. It was refused."""

    label: str
    known: int
    came: int

    @property
    def detail(self) -> str:
        return f"{self.label}: counter {self.came}, {self.known} was seen before"


@event("operator-enrolled", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class OperatorEnrolled(Event):
    """A person set password and second factor with an enrolment code."""

    source: str

    @property
    def detail(self) -> str:
        return f"from {self.source}"


@event("operator-added", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class OperatorAdded(Event):
    """A new operator."""

    operator: str
    roles: tuple[str, ...]

    @property
    def detail(self) -> str:
        return f"{self.operator}: {', '.join(self.roles) or 'no role'}"


@event("operator-roles", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class OperatorRolesChanged(Event):
    """An operator's standing roles changed."""

    operator: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def detail(self) -> str:
        return (
            f"{self.operator}: {', '.join(self.before) or 'none'} ->"
            f" {', '.join(self.after) or 'none'}"
        )


@event("operator-enabled", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class OperatorEnabled(Event):
    """An operator was let in again."""

    operator: str

    @property
    def detail(self) -> str:
        return self.operator


@event("operator-disabled", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class OperatorDisabled(Event):
    """An operator was barred; sessions ended here and at gateways."""

    operator: str
    sessions: int
    why: str

    @property
    def detail(self) -> str:
        return f"{self.operator}, {self.sessions} sessions ended: {self.why}"


@event("operator-factors-reset", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class FactorsReset(Event):
    """Every factor of an operator was forgotten; a new enrolment code was given out."""

    operator: str

    @property
    def detail(self) -> str:
        return self.operator


@event("quorum-set", severity=Severity.HIGH, seen_by=Audience.FLEET)
class QuorumSet(Event):
    """How many people a decision takes changed."""

    quorum: int
    why: str = ""

    @property
    def detail(self) -> str:
        return f"{self.quorum}: {self.why}" if self.why else str(self.quorum)


@event("set-up-ended", severity=Severity.LOW, seen_by=Audience.FLEET)
class SetUpEnded(Event):
    """The first operator is admin for good no more."""

    operator: str

    @property
    def detail(self) -> str:
        return f"{self.operator} is admin no more; framegate access request --role admin"


@event("access-asked", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class AccessAsked(Event):
    """Somebody asks for a role, or for others' approval."""

    request: str
    about: str
    zone: str
    summary: str
    content_sha256: str

    @property
    def detail(self) -> str:
        asked = f"{self.request}: {self.about} in {self.zone}: {self.summary}"
        return f"{asked}; content {self.content_sha256}"


@event("access-approved", severity=Severity.LOW, seen_by=Audience.FLEET)
class AccessApproved(Event):
    """Somebody said yes to a request: to the content of this digest, which they were shown."""

    request: str
    summary: str
    remark: str
    content_sha256: str

    @property
    def detail(self) -> str:
        return f"{self.request}: {self.summary}; content {self.content_sha256}; {self.remark}"


@event("access-denied", severity=Severity.LOW, seen_by=Audience.FLEET)
class AccessDenied(Event):
    """Somebody said no to a request, which ends it."""

    request: str
    summary: str
    remark: str

    @property
    def detail(self) -> str:
        return f"{self.request}: {self.summary}; {self.remark}"


@event("role-granted", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class RoleGranted(Event):
    """A person holds a role for a while."""

    request: str
    summary: str
    by: str

    @property
    def detail(self) -> str:
        return f"{self.request}: {self.summary}, approved by {self.by}"


@event("role-ended", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class RoleEnded(Event):
    """A role's time is over."""

    request: str
    requester: str
    summary: str

    @property
    def detail(self) -> str:
        return f"{self.request}: {self.requester}, {self.summary}"


@event("approval-taken", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class ApprovalTaken(Event):
    """An approval was signed for gateways, and is spent."""

    request: str
    summary: str
    gateways: tuple[str, ...]
    approvers: tuple[str, ...]

    @property
    def detail(self) -> str:
        return (
            f"{self.request}: {self.summary}, for {', '.join(self.gateways)}, approved by"
            f" {', '.join(self.approvers)}"
        )


@event("allowed", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET, routine=True)
class VerbAllowed(Event):
    """The access policy allowed what left no entry of its own."""

    verb: str
    about: str

    @property
    def detail(self) -> str:
        return f"{self.verb} {self.about}".strip()


@event("denied", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class VerbDenied(Event):
    """The access policy said no."""

    verb: str
    about: str
    reason: Reason

    @property
    def detail(self) -> str:
        return f"{self.verb} {self.about}: {self.reason}"
