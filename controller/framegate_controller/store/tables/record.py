"""Tables of the append-only log, and of the receipts and reports in it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class BatchRow(Base):
    """A gateway's batch of receipts that is in the log."""

    __tablename__ = "receipt_batches"
    gateway: Mapped[str] = mapped_column(String(200), primary_key=True)
    store: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    log_index: Mapped[int] = mapped_column(BigInteger)


class ReportRow(Base):
    """A gateway's or a line's report that is in the log; the latest ones of each store."""

    __tablename__ = "reports"
    reporter: Mapped[str] = mapped_column(String(200), primary_key=True)
    store: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    closed_at_ms: Mapped[int] = mapped_column(BigInteger)
    log_index: Mapped[int] = mapped_column(BigInteger)


class ReporterRow(Base):
    """When a gateway or a line was heard last."""

    __tablename__ = "reporters"
    reporter: Mapped[str] = mapped_column(String(200), primary_key=True)
    heard_ms: Mapped[int] = mapped_column(BigInteger)
    silent: Mapped[bool]


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
