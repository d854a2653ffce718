"""What every repository does alike: run a statement on the transaction's connection, and read JSON columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Executable, Row, Table
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from framegate.errors import Failure, Reason
from framegate_controller.store.tables import Base


class Rows:
    """Statements of one transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self, statement: Executable, parameters: Any = None) -> int:
        """Execute; how many rows it changed."""
        self._settle()
        done = self.session.execute(statement, parameters)
        self._forget()
        return int(done.rowcount)  # type: ignore[attr-defined]

    def one(self, statement: Executable) -> Row[Any] | None:
        """The first row, None where there is none."""
        self._settle()
        return self.session.execute(statement).first()

    def all(self, statement: Executable) -> Sequence[Row[Any]]:
        """Every row."""
        self._settle()
        return self.session.execute(statement).all()

    def scalar(self, statement: Executable) -> Any:
        """The first column of the first row."""
        self._settle()
        return self.session.execute(statement).scalar()

    def scalars(self, statement: Executable) -> list[Any]:
        """The first column of every row."""
        self._settle()
        return list(self.session.execute(statement).scalars())

    def put(self, table: Table, values: Mapping[str, Any]) -> None:
        """Insert, or replace what has the same primary key."""
        keys = [c.name for c in table.primary_key]
        made = upsert(table).values(**values)
        changed = {k: v for k, v in values.items() if k not in keys}
        self.run(made.on_conflict_do_update(index_elements=keys, set_=changed) if changed else made.on_conflict_do_nothing())

    def _settle(self) -> None:
        if self.session.new or self.session.dirty or self.session.deleted:
            self.session.flush()

    def _forget(self) -> None:
        if self.session.identity_map:
            self.session.expire_all()


def table_of(cls: type[Base]) -> Table:
    """The table behind a declaration."""
    found = cls.__table__
    assert isinstance(found, Table)  # noqa: S101 - every declaration here has one
    return found


def failures_text(failures: Sequence[Failure]) -> str:
    """Failures as a JSON column."""
    return json.dumps([[f.reason.value, f.expected, f.actual, f.hint] for f in failures])


def read_failures(text: str) -> tuple[Failure, ...]:
    """Failures out of a JSON column."""
    return tuple(Failure(Reason(r), e, a, h) for r, e, a, h in json.loads(text)) if text != "[]" else ()


def read_mapping(text: str) -> Mapping[str, Any]:
    """A JSON object column, read only."""
    return MappingProxyType(json.loads(text)) if text else MappingProxyType({})


def fields_of(value: Any) -> dict[str, Any]:
    """A frozen value's members by name, for columns of the same names."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
