"""Playbooks and their steps over SQLAlchemy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from framegate.machines.playbook_step import StepState
from framegate.registry.playbook import EnabledPlaybook, PlaybookStep, WaitingStep
from framegate_controller.store.ports import Moved
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import playbooks

_PLAYBOOKS: Final = table_of(playbooks.PlaybookRow)
_STEPS: Final = table_of(playbooks.PlaybookStepRow)
_WAITING: Final = (StepState.HELD.value, StepState.ASKED.value)
_OPEN: Final = (
    select(_STEPS.c.state).where(_STEPS.c.state.in_([StepState.PLANNED.value, *_WAITING])).limit(1)
)
_ENDED: Final = tuple(
    s.value for s in StepState if s not in {StepState.PLANNED, StepState.HELD, StepState.ASKED}
)


class SqlPlaybooks:
    """See `ports.Playbooks`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def newest(self, name: str) -> EnabledPlaybook | None:
        """See `ports.Playbooks.newest`."""
        p = _PLAYBOOKS.c
        query = select(_PLAYBOOKS).where(p.name == name).order_by(p.revision.desc()).limit(1)
        row = self._rows.one(query)
        return EnabledPlaybook(**row._mapping) if row is not None else None

    def revision(self, name: str, revision: int) -> EnabledPlaybook | None:
        """See `ports.Playbooks.revision`."""
        p = _PLAYBOOKS.c
        row = self._rows.one(select(_PLAYBOOKS).where(p.name == name, p.revision == revision))
        return EnabledPlaybook(**row._mapping) if row is not None else None

    def all(self) -> list[EnabledPlaybook]:
        """See `ports.Playbooks.all`."""
        p = _PLAYBOOKS.c
        newest = select(p.name, func.max(p.revision).label("revision")).group_by(p.name).subquery()
        query = select(_PLAYBOOKS).join(
            newest, and_(p.name == newest.c.name, p.revision == newest.c.revision)
        )
        return [EnabledPlaybook(**r._mapping) for r in self._rows.all(query.order_by(p.name))]

    def add(self, playbook: EnabledPlaybook) -> None:
        """See `ports.Playbooks.add`."""
        self._rows.run(insert(_PLAYBOOKS).values(**fields_of(playbook)))

    def plan(self, step: PlaybookStep) -> None:
        """See `ports.Playbooks.plan`."""
        try:
            self._rows.run(insert(_STEPS).values(**fields_of(step)))
        except IntegrityError as error:
            raise Moved.of_what(f"step {step.number} of {step.playbook}") from error

    def step(self, key: PlaybookStep) -> PlaybookStep | None:
        """See `ports.Playbooks.step`."""
        row = self._rows.one(select(_STEPS).where(_same(key)))
        return _step(row) if row is not None else None

    def put(self, step: PlaybookStep) -> None:
        """See `ports.Playbooks.put`."""
        self._rows.put(_STEPS, fields_of(step))

    def in_state(
        self, states: Sequence[StepState], most: int, playbook: str = ""
    ) -> list[PlaybookStep]:
        """See `ports.Playbooks.in_state`."""
        query = select(_STEPS).where(_STEPS.c.state.in_([s.value for s in states]))
        query = query.where(_STEPS.c.playbook == playbook) if playbook else query
        return self._listed(query.order_by(_STEPS.c.trigger, _STEPS.c.number).limit(most))

    def any_open(self) -> bool:
        """See `ports.Playbooks.any_open`."""
        return self._rows.one(_OPEN) is not None

    def waiting(self, playbook: str, targets: Collection[str]) -> set[WaitingStep]:
        """See `ports.Playbooks.waiting`."""
        s = _STEPS.c
        query = select(s.revision, s.action, s.target).where(
            s.playbook == playbook, s.state.in_(_WAITING), s.target.in_(targets)
        )
        return {
            WaitingStep(r.revision, r.action, r.target) for r in self._rows.all(query.distinct())
        }

    def holding(self) -> list[str]:
        """See `ports.Playbooks.holding`."""
        held = _STEPS.c.state == StepState.HELD.value
        query = select(_STEPS.c.playbook).where(held).distinct()
        return self._rows.scalars(query.order_by(_STEPS.c.playbook))

    def requests(self) -> list[str]:
        """See `ports.Playbooks.requests`."""
        asked = _STEPS.c.state == StepState.ASKED.value
        return self._rows.scalars(select(_STEPS.c.request).where(asked).distinct())

    def of_request(self, request: str) -> list[PlaybookStep]:
        """See `ports.Playbooks.of_request`."""
        query = select(_STEPS).where(_STEPS.c.request == request)
        return self._listed(query.order_by(_STEPS.c.trigger, _STEPS.c.number))

    def history(self, playbook: str, since_ms: int, most: int) -> list[PlaybookStep]:
        """See `ports.Playbooks.history`."""
        query = select(_STEPS).where(_STEPS.c.at_ms >= since_ms)
        query = query.where(_STEPS.c.playbook == playbook) if playbook else query
        s = _STEPS.c
        return self._listed(query.order_by(s.trigger.desc(), s.playbook, s.number).limit(most))

    def forget(self, before_ms: int) -> None:
        """See `ports.Playbooks.forget`."""
        s = _STEPS.c
        self._rows.run(delete(_STEPS).where(s.at_ms < before_ms, s.state.in_(_ENDED)))

    def _listed(self, query: Any) -> list[PlaybookStep]:
        return [_step(r) for r in self._rows.all(query)]


def _same(key: PlaybookStep) -> ColumnElement[bool]:
    s = _STEPS.c
    return and_(
        s.playbook == key.playbook,
        s.revision == key.revision,
        s.trigger == key.trigger,
        s.number == key.number,
    )


def _step(r: Row[Any]) -> PlaybookStep:
    return PlaybookStep(**{**r._mapping, "state": StepState(r.state)})
