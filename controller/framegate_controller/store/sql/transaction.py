"""A transaction of the registry over SQLAlchemy: its repositories, who acts in it, and what it records."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from framegate.record.entry import Act, event_entry
from framegate.record.event import Event
from framegate_controller.store import tables
from framegate_controller.store.ports import CONTROLLER
from framegate_controller.store.shared.tail import LogTail
from framegate_controller.store.sql.devices import SqlDevices, SqlGatewayProcesses, SqlMasks, SqlSpentChallenges, SqlTickets, SqlTpmMakers
from framegate_controller.store.sql.firmware import SqlEvidence, SqlProfiles, SqlRollouts
from framegate_controller.store.sql.inspection import SqlModels, SqlParts, SqlReceipts
from framegate_controller.store.sql.log import SqlRecord
from framegate_controller.store.sql.people import SqlPeople, SqlPolicies, SqlRequests, SqlSettings, SqlZones
from framegate_controller.store.sql.rows import Rows, table_of

_REVISION = table_of(tables.Revision)


class SqlTransaction:
    """See `ports.Transaction`."""

    def __init__(self, session: Session, tail: LogTail, now_ms: int) -> None:
        rows = Rows(session)
        self.sql = session
        self.now_ms = now_ms
        self.act: Act | None = None
        self.recorded = 0
        self.devices = SqlDevices(rows)
        self.tickets = SqlTickets(rows)
        self.challenges = SqlSpentChallenges(rows)
        self.makers = SqlTpmMakers(rows)
        self.gateways = SqlGatewayProcesses(rows)
        self.masks = SqlMasks(rows)
        self.evidence = SqlEvidence(rows)
        self.profiles = SqlProfiles(rows)
        self.rollouts = SqlRollouts(rows)
        self.people = SqlPeople(rows)
        self.requests = SqlRequests(rows)
        self.policies = SqlPolicies(rows)
        self.zones = SqlZones(rows)
        self.models = SqlModels(rows)
        self.parts = SqlParts(rows)
        self.receipts = SqlReceipts(rows)
        self.log = SqlRecord(rows, tail, now_ms)
        self.settings = SqlSettings(rows)
        self._rows = rows

    def record(self, event: Event, *, by: str = "") -> int:
        """See `ports.Transaction.record`."""
        act = self.act
        if act is not None and by in {"", act.actor}:
            self.recorded += 1
        else:
            act = Act(actor=by or CONTROLLER)
        return self.log.append(event_entry(event, act, self.now_ms))

    def revision(self) -> int:
        """See `ports.Transaction.revision`."""
        return int(self._rows.scalar(select(_REVISION.c.value)) or 0)

    def raise_revision(self) -> int:
        """See `ports.Transaction.raise_revision`."""
        self._rows.run(update(_REVISION).values(value=_REVISION.c.value + 1))
        return self.revision()
