"""Tables of the registry. Times are milliseconds since the epoch, digests raw bytes, lists JSON text."""

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
    boot_log: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
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


class AttestationSession(Base):
    """From challenge to proof; a row is deleted, once, by whoever consumes its nonce."""

    __tablename__ = "sessions"
    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    device: Mapped[str] = mapped_column(String(200))
    peer: Mapped[str] = mapped_column(String(100))
    join: Mapped[bool]
    hello: Mapped[bytes] = mapped_column(LargeBinary)
    challenge: Mapped[bytes] = mapped_column(LargeBinary)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    ticket: Mapped[bytes | None] = mapped_column(LargeBinary)
    endorsement: Mapped[str] = mapped_column(Text, default="")
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
    """Every revision of a firmware profile that was ever signed for this fleet, so that a decision can be looked at again."""

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
    """An IMA allowlist by the digest of its bytes, compressed: one copy, however many profiles and devices use it."""

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
    """The verified entries of a device's IMA list from `start` on, in one boot, compressed; together they are the list."""

    __tablename__ = "ima_segments"
    device: Mapped[str] = mapped_column(String(200), primary_key=True)
    reset_count: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    restart_count: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    entries: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class EvidenceRow(Base):
    """Evidence as it came, with what it takes to verify it again; later evidence that says the same only moves `last_ms` and `count`."""

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
    """A firmware profile on its way into the fleet (core: framegate.rollout)."""

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


class Event(Base):
    """What happened, in the order it happened."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    device: Mapped[str] = mapped_column(String(200))
    event: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(200))
    detail: Mapped[str] = mapped_column(Text)
    from_state: Mapped[str] = mapped_column(String(16), default="")
    to_state: Mapped[str] = mapped_column(String(16), default="")
    __table_args__ = (Index("events_by_device", "device", "id"),)


class Result(Base):
    """What an affirming Attestation Result rested on; receipts name it by its id for as long as receipts live."""

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
    """An entry of the append-only log; ids are its indices, from 0 without a gap."""

    __tablename__ = "log_entries"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    entry: Mapped[bytes] = mapped_column(LargeBinary)


class LogNode(Base):
    """The hash of a complete subtree of the log."""

    __tablename__ = "log_nodes"
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class Revision(Base):
    """The store-wide revision of trust, one row; every change that a relying party must see raises it."""

    __tablename__ = "revision"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
