"""Events about the fleet as a whole: zones, policy, firmware profiles, rollouts, models, parts,
certificate authorities.
"""

from __future__ import annotations

from framegate.machines.rollout import RolloutState
from framegate.record.event import Audience, Event, Severity, event


@event("zone-set", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class ZoneSet(Event):
    """A zone's rules changed."""

    zone: str
    grace: bool
    remark: str

    @property
    def detail(self) -> str:
        return f"{self.zone}: feed silence {'grace' if self.grace else 'close'}" + (
            f", {self.remark}" if self.remark else ""
        )


@event("zone-frozen", severity=Severity.LOW, seen_by=Audience.FLEET)
class ZoneFrozen(Event):
    """Changes in a zone are barred."""

    zone: str
    why: str

    @property
    def detail(self) -> str:
        return f"{self.zone}: {self.why}"


@event("zone-thawed", severity=Severity.LOW, seen_by=Audience.FLEET)
class ZoneThawed(Event):
    """Changes in a zone are allowed again."""

    zone: str
    why: str

    @property
    def detail(self) -> str:
        return f"{self.zone}: {self.why}"


@event("policy-applied", severity=Severity.HIGH, seen_by=Audience.FLEET)
class PolicyApplied(Event):
    """An access policy is in force."""

    policy: str
    note: str

    @property
    def detail(self) -> str:
        return self.policy + (f": {self.note}" if self.note else "")


@event("tpm-ca-added", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class TpmMakerAdded(Event):
    """A TPM maker's CA is trusted."""

    subject: str

    @property
    def detail(self) -> str:
        return self.subject


@event("profile-added", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class ProfileAdded(Event):
    """A signed firmware profile is kept."""

    profile: str
    signer: str
    in_force: bool

    @property
    def detail(self) -> str:
        return f"{self.profile}, signed by {self.signer}" + (
            "" if self.in_force else ", not in force"
        )


@event("profile-signer-revoked", severity=Severity.HIGH, seen_by=Audience.FLEET)
class SignerRevoked(Event):
    """A profile signer's word counts no more."""

    signer: str
    why: str

    @property
    def detail(self) -> str:
        return f"{self.signer}: {self.why}"


@event("rollout-started", severity=Severity.LOW, seen_by=Audience.FLEET)
class RolloutStarted(Event):
    """A new revision is on its way to devices."""

    rollout: str
    profile: str
    from_revision: int
    to_revision: int
    devices: int

    @property
    def detail(self) -> str:
        return (
            f"{self.rollout}: {self.profile} revision {self.from_revision} -> {self.to_revision},"
            f" {self.devices} devices"
        )


@event(*(f"rollout-{s}" for s in RolloutState), severity=Severity.LOW, seen_by=Audience.FLEET)
class RolloutMoved(Event):
    """A rollout moved on; the event is named after the state it is in now."""

    rollout: str
    state: RolloutState
    what: str

    @property
    def name(self) -> str:
        return f"rollout-{self.state}"

    @property
    def detail(self) -> str:
        return f"{self.rollout}: {self.what}"


@event("model-registered", severity=Severity.LOW, seen_by=Audience.FLEET)
class ModelRegistered(Event):
    """A signed model bundle is known."""

    model: str
    digest: str
    signer: str

    @property
    def detail(self) -> str:
        return f"{self.model}, {self.digest}, signed by {self.signer}"


@event("model-approved", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class ModelApproved(Event):
    """A model may be put in force."""

    model: str
    digest: str

    @property
    def detail(self) -> str:
        return f"{self.model}, {self.digest}"


@event("model-withdrawn", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class ModelWithdrawn(Event):
    """A model may be put in force no more."""

    model: str
    digest: str

    @property
    def detail(self) -> str:
        return f"{self.model}, {self.digest}"


@event("model-promoted", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class ModelPromoted(Event):
    """An approved model is in force in a zone."""

    zone: str
    model: str
    digest: str
    pin: int

    @property
    def detail(self) -> str:
        return f"{self.zone}: {self.model}, {self.digest}, pin {self.pin}"


@event("model-rolled-back", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class ModelRolledBack(Event):
    """An earlier model is in force again in a zone."""

    zone: str
    model: str
    digest: str
    pin: int

    @property
    def detail(self) -> str:
        return f"{self.zone}: {self.model}, {self.digest}, pin {self.pin}"


@event("part-set", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class PartSet(Event):
    """A part's golden images and rules changed."""

    part_type: str
    summary: str
    version: int

    @property
    def detail(self) -> str:
        return f"{self.summary}, version {self.version}"


@event("part-removed", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class PartRemoved(Event):
    """A part was taken away."""

    part_type: str
    summary: str
    version: int

    @property
    def detail(self) -> str:
        return f"{self.summary}, version {self.version}"


@event("ca-made", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class CaMade(Event):
    """The next generation of an issuing CA was made."""

    label: str
    serial: str

    @property
    def detail(self) -> str:
        return f"{self.label}: {self.serial}"


@event("ca-rotated", severity=Severity.MEDIUM, seen_by=Audience.FLEET)
class CaRotated(Event):
    """The next generation signs; the old private key is destroyed."""

    label: str
    before: str
    after: str

    @property
    def detail(self) -> str:
        return f"{self.label}: {self.before} -> {self.after}"


@event("ca-forgotten", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class CaForgotten(Event):
    """Nothing that an old generation signed can be alive."""

    label: str
    serial: str

    @property
    def detail(self) -> str:
        return f"{self.label}: {self.serial}"


@event("key-certified", severity=Severity.INFORMATIONAL, seen_by=Audience.FLEET)
class KeyCertified(Event):
    """A signing key has a new certificate."""

    label: str
    until: str

    @property
    def detail(self) -> str:
        return f"{self.label}: until {self.until}"


@event("certificate-handed-out", severity=Severity.LOW, seen_by=Audience.FLEET)
class CertificateHandedOut(Event):
    """Somebody on the controller's host made key and certificate of a line, a PLC's bridge, an
    enforcer or a server, for people to carry there.
    """

    subject: str
    serial: str
    begins_ms: int
    ends_ms: int

    @property
    def detail(self) -> str:
        days = (self.ends_ms - self.begins_ms) // 86_400_000
        return f"{self.subject}: {self.serial}, {days} days"


@event("registry-backed-up", severity=Severity.LOW, seen_by=Audience.FLEET)
class RegistryBackedUp(Event):
    """A backup of registry and encrypted keys was written on the controller's host."""

    file: str

    @property
    def detail(self) -> str:
        return self.file


@event("registry-restored", severity=Severity.CRITICAL, seen_by=Audience.FLEET)
class RegistryRestored(Event):
    """The registry began again from a backup: what came after that is lost, and nobody is trusted
    before a fresh proof.

    Of `seen` entries of the record, as far as anybody has shown, the first `kept` are left.
    `revision` is where revisions of trust go on; `source` is the backup, empty where the folder
    itself had been put back; `withdrawn` says in words what is void.
    """

    number: int
    kept: int
    seen: int
    revision: int
    source: str
    withdrawn: tuple[str, ...]

    @property
    def detail(self) -> str:
        lost = self.seen - self.kept
        return (
            f"restoration {self.number}{f' from {self.source}' if self.source else ''}: "
            f"{f'at least {lost} entries lost' if lost else 'no lost entry is known'}; "
            f"withdrawn: {'; '.join(self.withdrawn) or 'nothing'}"
        )
