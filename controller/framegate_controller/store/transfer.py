"""Every row of a registry into another one that is empty, whatever kinds of database they are.

Both have the same tables; values pass through the same types. One moment of the source, one
transaction of the target.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Table, delete, insert, select

from framegate.errors import Reason, Refused
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import Database, open_store
from framegate_controller.store.tables.schema import METADATA

TRANSIENT: Final = frozenset({"leases", "tries", "waiting", "answered_challenges", "quota_levels"})
"""What controllers share while they run: nobody needs it after that, nor should have it."""
AT_ONCE: Final = 500
"""Rows in memory: evidence is some tens of KiB a row."""


def copy_rows(source: Database, target: Database) -> int:
    """Copy every row; how many there were. Raises Refused (CONFLICT) where the target has a record,
    Malformed where it does not take a row, Unavailable.
    """
    rows = 0
    with (
        source.engines.begin(writes=False).connection as there,
        target.engines.begin(writes=True).connection as here,
        source.engines.ours(),
        target.engines.ours(),
    ):
        _require_empty(here)
        for table in METADATA.sorted_tables:
            if table.name not in TRANSIENT:
                rows += _copy(table, there, here)
        here.commit()
    return rows


def move_rows(source: StoreAt, target: StoreAt) -> int:
    """The same from one place to another."""
    there = open_store(source)
    try:
        here = open_store(target)
        try:
            return copy_rows(there, here)
        finally:
            here.close()
    finally:
        there.close()


def _require_empty(target: Connection) -> None:
    entries, operators = METADATA.tables["log_entries"], METADATA.tables["operators"]
    for table in (entries, operators):
        if target.execute(select(table).limit(1)).first() is not None:
            hint = "name a database that is empty"
            raise Refused.of(Reason.CONFLICT, "a registry without a fleet", "one with one", hint)


def _copy(table: Table, source: Connection, target: Connection) -> int:
    target.execute(delete(table))  # migrations left rows in some
    rows, query = 0, select(table).order_by(*table.primary_key)
    for some in source.execute(query.execution_options(yield_per=AT_ONCE)).partitions():
        target.execute(insert(table), [dict(row._mapping) for row in some])
        rows += len(some)
    return rows
