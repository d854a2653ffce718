"""Base of the registry's tables. Times are milliseconds since the epoch, digests raw bytes,
lists JSON text.
"""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """Base of all tables."""
