"""Leases of duties over SQLAlchemy."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from framegate_controller.store.ports.leases import Lease
from framegate_controller.store.ports.transaction import Moved
from framegate_controller.store.sql.rows import Rows, table_of
from framegate_controller.store.tables import shared

_LEASES: Final = table_of(shared.LeaseRow)


class SqlLeases:
    """See `ports.Leases`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def require(self, lease: Lease) -> None:
        """See `ports.Leases.require`."""
        mine = (_LEASES.c.owner == lease.owner, _LEASES.c.token == lease.token)
        query = select(_LEASES.c.duty).where(_LEASES.c.duty == lease.duty, *mine)
        # until this transaction ends nobody takes the duty over: who does then sees all of it
        if self._rows.one(query.with_for_update(read=True)) is None:
            raise Moved.of_what(f"the duty {lease.duty!r} of this controller")
