"""Tables of the registry. Times are milliseconds since the epoch, digests raw bytes, lists JSON
text.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Base of all tables."""


class Device(Base):
    """A machine of the fleet; `id` is `<kind>.<zone>.<name>`."""

    __tablename__ = "devices"
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    zone: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63), unique=True)
    state: Mapped[str] = mapped_column(String(16))
    since_ms: Mapped[int] = mapped_column(BigInteger)
    profile: Mapped[str] = mapped_column(String(63))
    ek_sha256: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    ek_public: Mapped[bytes | None] = mapped_column(LargeBinary)
    endorsement: Mapped[str] = mapped_column(Text, default="")
    ak_name: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    ak_public: Mapped[bytes | None] = mapped_column(LargeBinary)
    tls_public: Mapped[bytes | None] = mapped_column(LargeBinary)
    tls_spki_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    manufacturer: Mapped[int] = mapped_column(BigInteger, default=0)
    firmware_version: Mapped[str] = mapped_column(String(16), default="")
    clock: Mapped[str] = mapped_column(Text, default="")
    pcrs: Mapped[str] = mapped_column(Text, default="{}")
    posture: Mapped[str] = mapped_column(Text, default="")
    vector: Mapped[str] = mapped_column(Text, default="{}")
    result_id: Mapped[str] = mapped_column(String(64), default="")
    result_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    result_expires_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    certificate_expires_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[str] = mapped_column(Text, default="[]")
    failures_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    evidence_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    appraised_profile: Mapped[str] = mapped_column(String(160), default="")
    appraised_profile_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    findings: Mapped[str] = mapped_column(Text, default="[]")
    ima_prefix: Mapped[str] = mapped_column(Text, default="")
    ima_profile_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    maintenance_until_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    maintenance: Mapped[str] = mapped_column(Text, default="")
    boot_log_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    version: Mapped[int] = mapped_column(BigInteger, default=0)


class Ticket(Base):
    """A ticket to join, by the hash of its code; consumed where `used_ms` is set."""

    __tablename__ = "tickets"
    code_sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    device: Mapped[str] = mapped_column(String(200), index=True)
    ek_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    used_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    replaces: Mapped[bool] = mapped_column(default=False)
    reserved_ek: Mapped[bytes | None] = mapped_column(LargeBinary)
    reserved_until_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class SpentChallenge(Base):
    """A challenge that was answered, until it would have expired anyway: it is good once, at
    whatever controller.
    """

    __tablename__ = "spent_challenges"
    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class TpmAuthority(Base):
    """A TPM maker's CA that an operator trusts for endorsement."""

    __tablename__ = "tpm_authorities"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    certificate: Mapped[bytes] = mapped_column(LargeBinary)
    subject: Mapped[str] = mapped_column(Text)
    added_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)


class Profile(Base):
    """A firmware profile as its signed envelope."""

    __tablename__ = "profiles"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    added_ms: Mapped[int] = mapped_column(BigInteger)


class ProfileRevision(Base):
    """Every revision of a firmware profile that was ever signed for this fleet, so that a decision
    can be looked at again.
    """

    __tablename__ = "profile_revisions"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    version: Mapped[str] = mapped_column(Text)
    sha256: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    signer: Mapped[str] = mapped_column(Text)
    added_ms: Mapped[int] = mapped_column(BigInteger)


class RevokedSigner(Base):
    """A profile signer whose word counts no more, by the hash of its certificate."""

    __tablename__ = "revoked_signers"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    subject: Mapped[str] = mapped_column(Text)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)


class AllowlistRow(Base):
    """An IMA allowlist by the digest of its bytes, compressed: one copy, however many profiles and
    devices use it.
    """

    __tablename__ = "allowlists"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    files: Mapped[int] = mapped_column(BigInteger)
    added_ms: Mapped[int] = mapped_column(BigInteger)


class BootLogRow(Base):
    """A boot log by its digest, compressed."""

    __tablename__ = "boot_logs"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class ImaSegment(Base):
    """The verified entries of a device's IMA list from `start` on, in one boot, compressed;
    together they are the list.
    """

    __tablename__ = "ima_segments"
    device: Mapped[str] = mapped_column(String(200), primary_key=True)
    reset_count: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    restart_count: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    entries: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class EvidenceRow(Base):
    """Evidence as it came, with what it takes to verify it again; later evidence that says the same
    only moves `last_ms` and `count`.
    """

    __tablename__ = "evidence"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    device: Mapped[str] = mapped_column(String(200), index=True)
    content_sha256: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    first_ms: Mapped[int] = mapped_column(BigInteger)
    last_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    count: Mapped[int] = mapped_column(BigInteger)
    join: Mapped[bool]
    transcript: Mapped[bytes] = mapped_column(LargeBinary)
    ak_public: Mapped[bytes] = mapped_column(LargeBinary)
    tls_public: Mapped[bytes] = mapped_column(LargeBinary)
    bank: Mapped[int] = mapped_column(BigInteger)
    pcrs: Mapped[str] = mapped_column(Text)
    boot_log_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    ima_entries: Mapped[int] = mapped_column(BigInteger)
    reset_count: Mapped[int] = mapped_column(BigInteger)
    restart_count: Mapped[int] = mapped_column(BigInteger)
    proof: Mapped[bytes] = mapped_column(LargeBinary)
    profile: Mapped[str] = mapped_column(String(160))
    affirming: Mapped[bool]
    failures: Mapped[str] = mapped_column(Text)
    vector: Mapped[str] = mapped_column(Text)
    ear: Mapped[str] = mapped_column(Text, default="")


class RolloutRow(Base):
    """A firmware profile on its way into the fleet (core: framegate.machines.rollout)."""

    __tablename__ = "rollouts"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    profile: Mapped[str] = mapped_column(String(63), index=True)
    from_revision: Mapped[int] = mapped_column(BigInteger)
    to_revision: Mapped[int] = mapped_column(BigInteger)
    plan: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), index=True)
    step: Mapped[int] = mapped_column(BigInteger)
    step_ms: Mapped[int] = mapped_column(BigInteger)
    started_ms: Mapped[int] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(Text, default="")


class RolloutDevice(Base):
    """What a rollout has seen of one device; `step` is the step that reaches it."""

    __tablename__ = "rollout_devices"
    rollout: Mapped[str] = mapped_column(String(16), primary_key=True)
    device: Mapped[str] = mapped_column(String(200), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    seen: Mapped[str] = mapped_column(String(16))
    shadow: Mapped[str] = mapped_column(String(16), default="")
    at_ms: Mapped[int] = mapped_column(BigInteger)


class Gateway(Base):
    """A gateway process that its host's last result vouches for."""

    __tablename__ = "gateways"
    publics_sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    host: Mapped[str] = mapped_column(String(200), index=True)
    publics: Mapped[bytes] = mapped_column(LargeBinary)
    result_id: Mapped[str] = mapped_column(String(64))


class Result(Base):
    """What an affirming Attestation Result rested on; receipts name it by its id for as long as
    receipts live.
    """

    __tablename__ = "results"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    device: Mapped[str] = mapped_column(String(200), index=True)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    evidence_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    quote: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    ak_public: Mapped[bytes] = mapped_column(LargeBinary)
    profile: Mapped[str] = mapped_column(String(160))
    profile_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    evidence: Mapped[str] = mapped_column(String(32), default="")
    ear: Mapped[str] = mapped_column(Text, default="")


class MaskRow(Base):
    """The masks in force for one camera, as their signed envelope."""

    __tablename__ = "masks"
    device: Mapped[str] = mapped_column(String(200), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class ModelRow(Base):
    """A registered model bundle: who must have signed it (`anchor`, `signer`), its files' digests
    as JSON, whether it is approved.
    """

    __tablename__ = "models"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(BigInteger)
    signer: Mapped[str] = mapped_column(String(200))
    anchor: Mapped[str] = mapped_column(Text)
    files: Mapped[str] = mapped_column(Text)
    recipe: Mapped[bytes] = mapped_column(LargeBinary)
    card: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16))
    registered_by: Mapped[str] = mapped_column(String(200))
    approved_by: Mapped[str] = mapped_column(Text)
    at_ms: Mapped[int] = mapped_column(BigInteger)


class ModelPinRow(Base):
    """Every model pin of a zone, as its signed envelope; the highest sequence is in force."""

    __tablename__ = "model_pins"
    zone: Mapped[str] = mapped_column(String(63), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class PartRow(Base):
    """A part as its signed envelope; a removed one stays, so that its version never falls."""

    __tablename__ = "parts"
    part_type: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    removed: Mapped[bool]
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    by: Mapped[str] = mapped_column(String(200))


class GoldenRow(Base):
    """A golden image by its digest."""

    __tablename__ = "golden_images"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    image: Mapped[bytes] = mapped_column(LargeBinary)


class BatchRow(Base):
    """A gateway's batch of receipts that is in the log."""

    __tablename__ = "receipt_batches"
    gateway: Mapped[str] = mapped_column(String(200), primary_key=True)
    store: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    log_index: Mapped[int] = mapped_column(BigInteger)


class LogEntry(Base):
    """An entry of the append-only log; ids are its indices, from 0 without a gap. `device`, `event`
    and `actor` repeat what the entry says, to look it up by.
    """

    __tablename__ = "log_entries"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(16))
    device: Mapped[str] = mapped_column(String(200))
    event: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(200))
    entry: Mapped[bytes] = mapped_column(LargeBinary)
    __table_args__ = (Index("log_by_device", "device", "id"), Index("log_by_event", "event", "id"))


class LogHead(Base):
    """A signed head of the log, one for each size that was signed."""

    __tablename__ = "log_heads"
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class LogNode(Base):
    """The hash of a complete subtree of the log."""

    __tablename__ = "log_nodes"
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class OperatorRow(Base):
    """A person. `roles` is a JSON list of [role, zone]; `totp` and `recovery` are sealed or hashed,
    never plain. `vouched`: somebody besides who added them approved it, or it was in set-up.
    """

    __tablename__ = "operators"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    words: Mapped[str] = mapped_column(Text, default="")
    enabled: Mapped[bool]
    roles: Mapped[str] = mapped_column(Text)
    setup_admin: Mapped[bool] = mapped_column(default=False)
    password: Mapped[str] = mapped_column(Text, default="")
    totp: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    totp_step: Mapped[int] = mapped_column(BigInteger, default=0)
    recovery: Mapped[str] = mapped_column(Text, default="[]")
    oidc_issuer: Mapped[str] = mapped_column(Text, default="")
    oidc_subject: Mapped[str] = mapped_column(Text, default="")
    enrolment: Mapped[str] = mapped_column(Text, default="")
    enrolment_expires_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    added_ms: Mapped[int] = mapped_column(BigInteger)
    added_by: Mapped[str] = mapped_column(String(200))
    vouched: Mapped[bool] = mapped_column(default=False)
    seen_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class SecurityKey(Base):
    """A WebAuthn credential of an operator: what the authenticator gave at registration, and its
    signature counter.
    """

    __tablename__ = "security_keys"
    credential: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    operator: Mapped[str] = mapped_column(String(63), index=True)
    label: Mapped[str] = mapped_column(String(63))
    data: Mapped[bytes] = mapped_column(LargeBinary)
    counter: Mapped[int] = mapped_column(BigInteger, default=0)
    added_ms: Mapped[int] = mapped_column(BigInteger)


class OperatorSession(Base):
    """A sign-in: the key that the certificate is for, until when, and when the second factor was
    last shown. `break_glass` names the sealed credential used.
    """

    __tablename__ = "operator_sessions"
    spki_sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    operator: Mapped[str] = mapped_column(String(63), index=True)
    began_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    factor_ms: Mapped[int] = mapped_column(BigInteger)
    method: Mapped[str] = mapped_column(String(32))
    source: Mapped[str] = mapped_column(String(100))
    ended_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    break_glass: Mapped[str] = mapped_column(String(32), default="")


class AccessRequest(Base):
    """Somebody asks for a role for a while, or for others' approval of one exact act. `approvals`
    is a JSON list of [operator, at_ms].
    """

    __tablename__ = "access_requests"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default="act")
    requester: Mapped[str] = mapped_column(String(63), index=True)
    verb: Mapped[str] = mapped_column(String(63), default="")
    role: Mapped[str] = mapped_column(String(16), default="")
    zone: Mapped[str] = mapped_column(String(63))
    target: Mapped[str] = mapped_column(String(200), default="")
    content_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    policy_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    summary: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    minutes: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[str] = mapped_column(String(16), index=True)
    approvals: Mapped[str] = mapped_column(Text, default="[]")
    asked_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class PolicyRow(Base):
    """An access policy that was in force, as its signed envelope; the highest version is."""

    __tablename__ = "access_policies"
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    applied_by: Mapped[str] = mapped_column(String(200))
    applied_ms: Mapped[int] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(Text, default="")


class DecisionRow(Base):
    """A decision of the access policy with what was asked, once for each content, so that it can be
    asked of another policy.
    """

    __tablename__ = "decisions"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    request: Mapped[str] = mapped_column(Text)
    allow: Mapped[bool]
    policies: Mapped[str] = mapped_column(Text)
    policy_version: Mapped[int] = mapped_column(BigInteger)
    first_ms: Mapped[int] = mapped_column(BigInteger)
    last_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    count: Mapped[int] = mapped_column(BigInteger)


class ZoneRow(Base):
    """A zone's rules; a zone without a row has the defaults."""

    __tablename__ = "zones"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    grace: Mapped[bool] = mapped_column(default=False)
    frozen: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str] = mapped_column(Text, default="")
    by: Mapped[str] = mapped_column(String(200), default="")
    since_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    words: Mapped[str] = mapped_column(Text, default="")


class Setting(Base):
    """One value for the fleet: the quorum, sealed credentials that were used, what a restart must
    not forget.
    """

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Revision(Base):
    """Revisions: row 1 of trust, raised by every change that a relying party must see; row 2 of
    firmware, by every change of profiles, signers, rollouts.
    """

    __tablename__ = "revision"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
