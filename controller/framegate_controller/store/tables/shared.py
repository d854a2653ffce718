"""Tables of what several controllers of one store share beside the registry itself."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class LeaseRow(Base):
    """Which controller has a duty of the fleet, until when by the database's clock; `token` grows
    with every change of hands.
    """

    __tablename__ = "leases"
    duty: Mapped[str] = mapped_column(String(63), primary_key=True)
    owner: Mapped[str] = mapped_column(String(63))
    token: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger)


class TryRow(Base):
    """A try that counts as a wrong one, of one counter."""

    __tablename__ = "tries"
    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True
    )
    counter: Mapped[str] = mapped_column(Text)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (
        Index("ix_tries_counter_at_ms", "counter", "at_ms"),
        Index("ix_tries_at_ms", "at_ms"),
    )


class WaitingRow(Base):
    """A sign-in that was begun and waits for its answer, as JSON."""

    __tablename__ = "waiting"
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    content: Mapped[str] = mapped_column(Text)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class AnsweredChallenge(Base):
    """A challenge that was answered, whether or not that led to anything."""

    __tablename__ = "answered_challenges"
    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class QuotaLevelRow(Base):
    """What was left of a share at `at_ms`: calls, and bytes of evidence. At `full_ms` it is full
    again, and the row says nothing any more.
    """

    __tablename__ = "quota_levels"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    calls: Mapped[float] = mapped_column(Double)
    size: Mapped[float] = mapped_column(Double)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    full_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class ControllerRow(Base):
    """A controller of the fleet: its issuing CAs' certificates, as a JSON list of DER in Base64,
    when it was last there, and up to which form it reads rows (0: as version 0.1.0 does).
    """

    __tablename__ = "controllers"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    authorities: Mapped[str] = mapped_column(Text)
    seen_ms: Mapped[int] = mapped_column(BigInteger)
    reads: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
