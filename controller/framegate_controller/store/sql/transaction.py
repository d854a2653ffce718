"""A transaction of the registry over SQLAlchemy: its repositories, who acts in it, and what it
records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

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
from framegate_controller.store.sql.prepared import Prepared
from framegate_controller.store.sql.reports import SqlReports
from framegate_controller.store.sql.rows import Rows, table_of
from framegate_controller.store.sql.sinks import SqlSinks
from framegate_controller.store.sql.sites import SqlSites
from framegate_controller.store.tables import fleet

R = TypeVar("R")
_REVISION: Final = table_of(fleet.Revision)
_NOW: Final = Prepared(select(_REVISION.c.value).where(_REVISION.c.id == bindparam("of")))
_RAISE: Final = Prepared(
    update(_REVISION).where(_REVISION.c.id == bindparam("of")).values(value=_REVISION.c.value + 1)
)
_TRUST, _FIRMWARE = 1, 2
"""Rows of the revision table."""


class _Repository(Generic[R]):
    """A repository that is made when its transaction first asks for it: most ask for two or three
    of them all.
    """

    def __init__(self, make: Callable[[SqlTransaction], R]) -> None:
        self._make = make

    def __set_name__(self, owner: type[SqlTransaction], name: str) -> None:
        self._name = name

    def __get__(self, tx: SqlTransaction, owner: type[SqlTransaction]) -> R:
        made = self._make(tx)
        tx.__dict__[self._name] = made  # where it is found from now on, before this is asked
        return made


def _of(make: Callable[[Rows], R]) -> _Repository[R]:
    """One that needs nothing but rows."""
    return _Repository(lambda tx: make(tx.rows))


class SqlTransaction:
    """See `ports.Transaction`."""

    devices: _Repository[ports.Devices] = _of(SqlDevices)
    tickets: _Repository[ports.Tickets] = _of(SqlTickets)
    challenges: _Repository[ports.SpentChallenges] = _of(SqlSpentChallenges)
    makers: _Repository[ports.TpmMakers] = _of(SqlTpmMakers)
    gateways: _Repository[ports.GatewayProcesses] = _of(SqlGatewayProcesses)
    masks: _Repository[ports.Masks] = _of(SqlMasks)
    profiles: _Repository[ports.Profiles] = _of(SqlProfiles)
    rollouts: _Repository[ports.Rollouts] = _of(SqlRollouts)
    people: _Repository[ports.People] = _of(SqlPeople)
    requests: _Repository[ports.Requests] = _of(SqlRequests)
    policies: _Repository[ports.Policies] = _of(SqlPolicies)
    zones: _Repository[ports.Zones] = _of(SqlZones)
    models: _Repository[ports.Models] = _of(SqlModels)
    parts: _Repository[ports.Parts] = _of(SqlParts)
    receipts: _Repository[ports.Receipts] = _of(SqlReceipts)
    reports: _Repository[ports.Reports] = _of(SqlReports)
    decisions: _Repository[ports.Decisions] = _of(SqlDecisions)
    settings: _Repository[ports.SettingsKept] = _of(SqlSettings)
    sinks: _Repository[ports.Sinks] = _of(SqlSinks)
    sites: _Repository[ports.SitesKept] = _of(SqlSites)
    playbooks: _Repository[ports.Playbooks] = _of(SqlPlaybooks)
    leases: _Repository[ports.Leases] = _of(SqlLeases)
    controllers: _Repository[ports.Controllers] = _Repository(
        lambda tx: SqlControllers(tx.rows, tx.now_ms)
    )
    evidence: _Repository[ports.EvidenceKept] = _Repository(
        lambda tx: SqlEvidence(tx.rows, tx.controllers)
    )
    rows: Rows
    now_ms: int

    def __init__(
        self, connection: Connection, tail: LogTail, now_ms: int, *, writes: bool = False
    ) -> None:
        self.rows = Rows(connection)
        self.now_ms = now_ms
        self.act: Act | None = None
        self.recorded = 0
        self._record = SqlRecord(self.rows, tail, now_ms, writes=writes)
        self.log: ports.RecordStore = self._record
        self._after: list[Callable[[], object]] = []
        self._firmware_raised, self._raised = False, False
        self._firmware: int | None = None
        self._expected: Callable[[], Any] | None = None

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

    def raise_revision(self) -> None:
        """See `ports.Transaction.raise_revision`."""
        if not self._raised:
            self._raised = True
            self.rows.later(_RAISE, {"of": _TRUST})

    def leap(self, seen: int, step: int) -> int:
        """See `ports.Transaction.leap`."""
        for of, least in ((_TRUST, seen), (_FIRMWARE, 0)):
            value = max(self._revision(of), least) + step
            self.rows.run(update(_REVISION).where(_REVISION.c.id == of).values(value=value))
        self._firmware_raised, self._raised = True, False
        return self._revision(_TRUST)

    def expect_firmware_revision(self) -> None:
        """See `ports.Transaction.expect_firmware_revision`."""
        self._expected = self.rows.ahead(_NOW, {"of": _FIRMWARE})

    def firmware_revision(self) -> int:
        """See `ports.Transaction.firmware_revision`."""
        if self._firmware_raised:
            return 0
        if self._firmware is None:
            found = self._expected() if self._expected else self.rows.one(_NOW, {"of": _FIRMWARE})
            self._firmware = int(found.value) if found is not None else 0
        return self._firmware

    def raise_firmware_revision(self) -> int:
        """See `ports.Transaction.raise_firmware_revision`."""
        self._firmware_raised = True
        self.rows.later(_RAISE, {"of": _FIRMWARE})
        return self._revision(_FIRMWARE)

    def _revision(self, of: int) -> int:
        return int(self.rows.scalar(_NOW, {"of": of}) or 0)
