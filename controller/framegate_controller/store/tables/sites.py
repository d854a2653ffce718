"""The table of other sites and what was pinned of them."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from framegate_controller.store.tables.base import Base


class SiteRow(Base):
    """Another site. `offered` are digests with spaces between."""

    __tablename__ = "sites"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(300))
    bundle: Mapped[bytes] = mapped_column(LargeBinary)
    sequence: Mapped[int] = mapped_column(BigInteger)
    refresh_s: Mapped[int]
    standing: Mapped[str] = mapped_column(String(16))
    added_ms: Mapped[int] = mapped_column(BigInteger)
    by: Mapped[str] = mapped_column(String(200))
    seen_ms: Mapped[int] = mapped_column(BigInteger)
    failing_ms: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int]
    error: Mapped[str] = mapped_column(Text)
    offered: Mapped[str] = mapped_column(Text)
    withdrawn_ms: Mapped[int] = mapped_column(BigInteger)
