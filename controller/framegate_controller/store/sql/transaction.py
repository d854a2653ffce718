"""A transaction of the registry over SQLAlchemy: its repositories, who acts in it, and what it
records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from framegate.record.entry import Act, event_entry
from framegate.record.event import Event
from framegate_controller.store import ports
from framegate_controller.store.ports import CONTROLLER
from framegate_controller.store.shared.tail import LogTail
from framegate_controller.store.sql.controllers import SqlControllers
from framegate_controller.store.sql.decisions import SqlDecisions
from framegate_controller.store.sql.devices import SqlDevices
from framegate_controller.store.sql.enrolment import SqlSpentChallenges, SqlTickets, SqlTpmMakers
from framegate_controller.store.sql.evidence import SqlEvidence
from framegate_controller.store.sql.firmware import SqlProfiles, SqlRollouts
from framegate_controller.store.sql.gateways import SqlGatewayProcesses
from framegate_controller.store.sql.inspection import SqlModels, SqlParts, SqlReceipts
from framegate_controller.store.sql.leases import SqlLeases
from framegate_controller.store.sql.log import SqlRecord
from framegate_controller.store.sql.masks import SqlMasks
from framegate_controller.store.sql.people import (
    SqlPeople,
    SqlPolicies,
    SqlRequests,
    SqlSettings,
    SqlZones,
)
from framegate_controller.store.sql.playbooks import SqlPlaybooks
from framegate_controller.store.sql.reports import SqlReports
from framegate_controller.store.sql.rows import Rows, table_of
from framegate_controller.store.sql.sinks import SqlSinks
from framegate_controller.store.sql.sites import SqlSites
from framegate_controller.store.tables import fleet

_REVISION: Final = table_of(fleet.Revision)
_NOW: Final = select(_REVISION.c.value).where(_REVISION.c.id == bindparam("of"))
_NEXT: Final = (
    update(_REVISION)
    .where(_REVISION.c.id == bindparam("of"))
    .values(value=_REVISION.c.value + 1)
    .returning(_REVISION.c.value)
)
_TRUST, _FIRMWARE = 1, 2
"""Rows of the revision table."""


class SqlTransaction:
    """See `ports.Transaction`."""

    def __init__(self, connection: Connection, tail: LogTail, now_ms: int) -> None:
        rows = Rows(connection)
        self.now_ms = now_ms
        self.act: Act | None = None
        self.recorded = 0
        self.devices: ports.Devices = SqlDevices(rows)
        self.tickets: ports.Tickets = SqlTickets(rows)
        self.challenges: ports.SpentChallenges = SqlSpentChallenges(rows)
        self.makers: ports.TpmMakers = SqlTpmMakers(rows)
        self.gateways: ports.GatewayProcesses = SqlGatewayProcesses(rows)
        self.masks: ports.Masks = SqlMasks(rows)
        self.profiles: ports.Profiles = SqlProfiles(rows)
        self.rollouts: ports.Rollouts = SqlRollouts(rows)
        self.people: ports.People = SqlPeople(rows)
        self.requests: ports.Requests = SqlRequests(rows)
        self.policies: ports.Policies = SqlPolicies(rows)
        self.zones: ports.Zones = SqlZones(rows)
        self.models: ports.Models = SqlModels(rows)
        self.parts: ports.Parts = SqlParts(rows)
        self.receipts: ports.Receipts = SqlReceipts(rows)
        self.reports: ports.Reports = SqlReports(rows)
        self._record = SqlRecord(rows, tail, now_ms)
        self.log: ports.RecordStore = self._record
        self.decisions: ports.Decisions = SqlDecisions(rows)
        self.settings: ports.SettingsKept = SqlSettings(rows)
        self.sinks: ports.Sinks = SqlSinks(rows)
        self.sites: ports.SitesKept = SqlSites(rows)
        self.playbooks: ports.Playbooks = SqlPlaybooks(rows)
        self.leases: ports.Leases = SqlLeases(rows)
        self.controllers: ports.Controllers = SqlControllers(rows, now_ms)
        self.evidence: ports.EvidenceKept = SqlEvidence(rows, self.controllers)
        self._rows = rows
        self._after: list[Callable[[], object]] = []
        self._firmware_raised = False

    def record(self, event: Event, *, by: str = "") -> int:
        """See `ports.Transaction.record`."""
        act = self.act
        if act is not None and by in {"", act.actor}:
            self.recorded += 1
        else:
            act = Act(actor=by or CONTROLLER)
        return self.log.append(event_entry(event, act, self.now_ms))

    def when_committed(self, act: Callable[[], object]) -> None:
        """See `ports.Transaction.when_committed`."""
        self._after.append(act)

    def keep_tail(self) -> None:
        """This transaction's end of the record is the store's now; before the next writer looks for
        it.
        """
        self._record.committed()

    def committed(self) -> None:
        """What was written is the store's now."""
        for act in self._after:
            act()

    def revision(self) -> int:
        """See `ports.Transaction.revision`."""
        return self._revision(_TRUST)

    def raise_revision(self) -> int:
        """See `ports.Transaction.raise_revision`."""
        return self._raise(_TRUST)

    def leap(self, seen: int, step: int) -> int:
        """See `ports.Transaction.leap`."""
        for of, least in ((_TRUST, seen), (_FIRMWARE, 0)):
            value = max(self._revision(of), least) + step
            self._rows.run(update(_REVISION).where(_REVISION.c.id == of).values(value=value))
        self._firmware_raised = True
        return self._revision(_TRUST)

    def firmware_revision(self) -> int:
        """See `ports.Transaction.firmware_revision`."""
        return 0 if self._firmware_raised else self._revision(_FIRMWARE)

    def raise_firmware_revision(self) -> int:
        """See `ports.Transaction.raise_firmware_revision`."""
        self._firmware_raised = True
        return self._raise(_FIRMWARE)

    def _revision(self, of: int) -> int:
        return int(self._rows.scalar(_NOW, {"of": of}) or 0)

    def _raise(self, of: int) -> int:
        return int(self._rows.scalar(_NEXT, {"of": of}))
