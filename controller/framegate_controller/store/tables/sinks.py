"""The table of the record's sinks and their cursors."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class SinkRow(Base):
    """A sink of the record, and how far it is."""

    __tablename__ = "sinks"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(500))
    channel: Mapped[str] = mapped_column(String(200))
    version: Mapped[str] = mapped_column(String(16))
    first: Mapped[int] = mapped_column(BigInteger)
    confirmed: Mapped[int] = mapped_column(BigInteger)
    confirmed_ms: Mapped[int] = mapped_column(BigInteger)
    failing_ms: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int]
    error: Mapped[str] = mapped_column(Text)
    silent: Mapped[bool]
    dead: Mapped[int] = mapped_column(BigInteger)
    by: Mapped[str] = mapped_column(String(200))
    added_ms: Mapped[int] = mapped_column(BigInteger)
