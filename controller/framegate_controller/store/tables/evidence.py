"""Tables of kept evidence, of what it refers to by digest, and of the results it led to."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


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

    `proof` is it, compressed, but for its boot log, which stands in `boot_logs` once for all
    machines of a model: `log_at` is where it belongs, -1 where nothing was left out.
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
    boot_log_sha256: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    ima_entries: Mapped[int] = mapped_column(BigInteger)
    reset_count: Mapped[int] = mapped_column(BigInteger)
    restart_count: Mapped[int] = mapped_column(BigInteger)
    proof: Mapped[bytes] = mapped_column(LargeBinary)
    profile: Mapped[str] = mapped_column(String(160))
    affirming: Mapped[bool]
    failures: Mapped[str] = mapped_column(Text)
    vector: Mapped[str] = mapped_column(Text)
    ear: Mapped[str] = mapped_column(Text, default="")
    log_at: Mapped[int] = mapped_column(BigInteger, default=-1, server_default="-1")


class EarHeader(Base):
    """The header of signed results (EAR), with their key's certificate: one for each key."""

    __tablename__ = "ear_headers"
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    header: Mapped[str] = mapped_column(Text)


class Result(Base):
    """What an affirming Attestation Result rested on; receipts name it by its id for as long as
    receipts live.

    The EAR stands in `ear`, or packed: `ear_packed` by the header whose digest is `ear_header`.
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
    ear_packed: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    ear_header: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
