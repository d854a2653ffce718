"""Tickets, spent challenges and TPM makers' CAs over SQLAlchemy: what joining needs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, insert, select

from framegate.evidence.challenge import unknown_session
from framegate.identity.names import DeviceId
from framegate.registry.device import TpmMaker
from framegate.registry.ticket import Ticket
from framegate_controller.store.sql.prepared import Prepared, with_numbers
from framegate_controller.store.sql.rows import INSERTS, Rows, fields_of, table_of, upserts
from framegate_controller.store.tables import machines

_TICKETS: Final = table_of(machines.Ticket)
_SPENT: Final = table_of(machines.SpentChallenge)
_MAKERS: Final = table_of(machines.TpmAuthority)
_BY_CODE: Final = Prepared(with_numbers(_TICKETS).where(_TICKETS.c.code_sha256 == bindparam("of")))
_PUT: Final = upserts(_TICKETS)
_SPEND: Final = {
    name: Prepared(put(_SPENT).on_conflict_do_nothing()) for name, put in INSERTS.items()
}


class SqlTickets:
    """See `ports.Tickets`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, code_sha256: bytes) -> Ticket | None:
        """By hash."""
        row = self._rows.one(_BY_CODE, {"of": code_sha256})
        return _ticket(row) if row is not None else None

    def unused(self, of: Collection[str] | None = None) -> list[Ticket]:
        """See `ports.Tickets.unused`."""
        query = select(_TICKETS).where(_TICKETS.c.used_ms == 0)
        query = query.where(_TICKETS.c.device.in_(of)) if of is not None else query
        return [_ticket(row) for row in self._rows.all(query)]

    def add(self, ticket: Ticket) -> None:
        """A new one in the place of the device's earlier one."""
        self.remove_of(ticket.device)
        self._rows.run(insert(_TICKETS).values(**fields_of(ticket)))

    def put(self, ticket: Ticket) -> None:
        """Keep a changed value."""
        self._rows.run(_PUT[self._rows.dialect], fields_of(ticket))

    def remove_of(self, device: str) -> None:
        """Forget a device's tickets."""
        self._rows.run(delete(_TICKETS).where(_TICKETS.c.device == device))

    def remove_unused(self) -> list[str]:
        """Forget every ticket that was not used; whose they were."""
        unused = _TICKETS.c.used_ms == 0
        devices = self._rows.scalars(select(_TICKETS.c.device).where(unused))
        self._rows.run(delete(_TICKETS).where(unused))
        return sorted(devices)


def _ticket(r: Row[Any]) -> Ticket:
    return Ticket(**{**r._asdict(), "device": DeviceId(r.device), "replaces": bool(r.replaces)})


class SqlSpentChallenges:
    """See `ports.SpentChallenges`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def forget(self, now_ms: int) -> None:
        """Those that have run out."""
        self._rows.run(delete(_SPENT).where(_SPENT.c.expires_ms < now_ms))

    def spend(self, challenge: bytes, expires_ms: int) -> None:
        """See `ports.SpentChallenges.spend`."""
        values = {"id": challenge, "expires_ms": expires_ms}
        self._rows.later(_SPEND[self._rows.dialect], values, _require_first)


def _require_first(spent: int) -> None:
    if spent != 1:
        raise unknown_session()


class SqlTpmMakers:
    """See `ports.TpmMakers`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, sha256: bytes) -> TpmMaker | None:
        """By hash."""
        row = self._rows.one(select(_MAKERS).where(_MAKERS.c.sha256 == sha256))
        return TpmMaker(**row._mapping) if row is not None else None

    def all(self) -> list[TpmMaker]:
        """By subject."""
        return [
            TpmMaker(**r._mapping)
            for r in self._rows.all(select(_MAKERS).order_by(_MAKERS.c.subject))
        ]

    def add(self, maker: TpmMaker) -> None:
        """A new one."""
        self._rows.run(insert(_MAKERS).values(**fields_of(maker)))
