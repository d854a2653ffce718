"""Tables of playbooks and of what they did."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class PlaybookRow(Base):
    """A revision of a playbook as its signed envelope; the highest of a name counts."""

    __tablename__ = "playbooks"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    mode: Mapped[str] = mapped_column(String(16))
    ended: Mapped[bool] = mapped_column(default=False)
    enabled_by: Mapped[str] = mapped_column(String(200))
    enabled_ms: Mapped[int] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(Text, default="")


class PlaybookStepRow(Base):
    """A step of a run; its key is what keeps it from being done twice."""

    __tablename__ = "playbook_steps"
    playbook: Mapped[str] = mapped_column(String(63), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    trigger: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    action: Mapped[str] = mapped_column(String(32))
    target: Mapped[str] = mapped_column(String(200))
    zone: Mapped[str] = mapped_column(String(63), default="")
    event: Mapped[str] = mapped_column(String(63))
    state: Mapped[str] = mapped_column(String(16), index=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    planned_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    ended_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    request: Mapped[str] = mapped_column(String(16), default="", index=True)
    why: Mapped[str] = mapped_column(Text, default="")


class HeldEvidence(Base):
    """Evidence that is not forgotten: somebody, or a playbook, keeps it."""

    __tablename__ = "held_evidence"
    evidence: Mapped[str] = mapped_column(String(32), primary_key=True)
    device: Mapped[str] = mapped_column(String(200), index=True)
    since_ms: Mapped[int] = mapped_column(BigInteger)
