"""Tables of what holds for a whole zone or the whole fleet."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


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
