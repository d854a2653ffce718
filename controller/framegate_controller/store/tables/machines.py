"""Tables of machines, and of what it takes to join the fleet."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


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
    tls_spki_sha256: Mapped[bytes | None] = mapped_column(LargeBinary, index=True)
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
    boot_log_sha256: Mapped[bytes] = mapped_column(LargeBinary, default=b"", index=True)
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    __table_args__ = (
        Index(
            "ix_devices_maintenance",
            "maintenance_until_ms",
            sqlite_where=text("maintenance_until_ms <> 0"),
            postgresql_where=text("maintenance_until_ms <> 0"),
        ),
        Index("ix_devices_kind_state", "kind", "state"),
    )


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


class Gateway(Base):
    """A gateway process that its host's last result vouches for: that host's row, whoever else
    names the same process.
    """

    __tablename__ = "gateways"
    host: Mapped[str] = mapped_column(String(200), primary_key=True, index=True)
    publics_sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    publics: Mapped[bytes] = mapped_column(LargeBinary)
    result_id: Mapped[str] = mapped_column(String(64))


class MaskRow(Base):
    """The masks in force for one camera, as their signed envelope."""

    __tablename__ = "masks"
    device: Mapped[str] = mapped_column(String(200), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
