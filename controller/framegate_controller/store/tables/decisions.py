"""Tables of the log of decisions: its entries and tree, the heads that were signed, what witnesses
said to them, and how each witness stands.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class DecisionEntryRow(Base):
    """An entry; ids are its indices, from 0 without a gap."""

    __tablename__ = "decision_entries"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(24))
    sha256: Mapped[str] = mapped_column(String(64))
    entry: Mapped[bytes] = mapped_column(LargeBinary)
    __table_args__ = (Index("decisions_by_digest", "sha256", "kind"),)


class DecisionNodeRow(Base):
    """The hash of a complete subtree of the log."""

    __tablename__ = "decision_nodes"
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class DecisionHeadRow(Base):
    """A head that was signed, one for each size under one origin."""

    __tablename__ = "decision_heads"
    origin: Mapped[str] = mapped_column(String(200), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    note: Mapped[bytes] = mapped_column(LargeBinary)


class DecisionCosignatureRow(Base):
    """A witness's latest cosignature on a head, as its line."""

    __tablename__ = "decision_cosignatures"
    origin: Mapped[str] = mapped_column(String(200), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    witness: Mapped[str] = mapped_column(String(400), primary_key=True)
    at_s: Mapped[int] = mapped_column(BigInteger)
    line: Mapped[str] = mapped_column(Text)


class DecisionWitnessRow(Base):
    """How a witness stands: what it cosigned last, since when it fails, and why."""

    __tablename__ = "decision_witnesses"
    witness: Mapped[str] = mapped_column(String(400), primary_key=True)
    origin: Mapped[str] = mapped_column(String(200))
    size: Mapped[int] = mapped_column(BigInteger)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    failing_ms: Mapped[int] = mapped_column(BigInteger)
    error: Mapped[str] = mapped_column(Text)
