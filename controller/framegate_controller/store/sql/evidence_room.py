"""How much room kept evidence takes, over SQLAlchemy: a device's oldest gives way, and what nothing
refers to any more is collected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, Select, delete, func, select, tuple_

from framegate_controller.store.sql.device_rows import DEVICES
from framegate_controller.store.sql.rows import Rows, table_of
from framegate_controller.store.tables import evidence, playbooks

_EVIDENCE: Final = table_of(evidence.EvidenceRow)
_LOGS: Final = table_of(evidence.BootLogRow)
_SEGMENTS: Final = table_of(evidence.ImaSegment)
HELD_EVIDENCE: Final = table_of(playbooks.HeldEvidence)
HELD: Final = select(HELD_EVIDENCE.c.evidence)
"""Ids of evidence that is never forgotten."""


def trim(rows: Rows, device: str, most: int, most_bytes: int) -> None:
    """See `ports.EvidenceKept.trim`."""
    e, s = _EVIDENCE.c, _SEGMENTS.c
    newest = rows.all(
        select(
            e.id,
            func.length(e.proof).label("size"),
            e.boot_log_sha256,
            e.reset_count,
            e.restart_count,
        )
        .where(e.device == device, e.id.not_in(HELD))
        .order_by(e.last_ms.desc(), e.first_ms.desc())
        .limit(most + 1)
    )
    logs = rows.all(
        select(_LOGS.c.sha256, func.length(_LOGS.c.content).label("size")).where(
            _LOGS.c.sha256.in_({r.boot_log_sha256 for r in newest})
        )
    )
    boots = rows.all(
        select(s.reset_count, s.restart_count, func.sum(func.length(s.content)).label("size"))
        .where(s.device == device)
        .group_by(s.reset_count, s.restart_count)
    )
    sizes: dict[object, int] = {log.sha256: log.size for log in logs}
    sizes |= {(boot.reset_count, boot.restart_count): boot.size for boot in boots}
    kept = _fitting(newest, sizes, most, most_bytes)
    if len(kept) < len(newest):
        rows.run(delete(_EVIDENCE).where(e.device == device, e.id.not_in(kept), e.id.not_in(HELD)))


def _fitting(
    newest: Sequence[Row[Any]], sizes: dict[object, int], most: int, most_bytes: int
) -> list[str]:
    """Ids from the newest on, as far as there is room; what two refer to counts once."""
    kept: list[str] = []
    taken = 0
    for row in newest:
        taken += row.size + sizes.pop(row.boot_log_sha256, 0)
        taken += sizes.pop((row.reset_count, row.restart_count), 0)
        if kept and (taken > most_bytes or len(kept) >= most):
            break
        kept.append(row.id)
    return kept


class Unused(NamedTuple):
    """Queries of what nobody needs any more: evidence by id, boot logs by digest, IMA lists by
    device and boot.
    """

    evidence: Select[Any]
    logs: Select[Any]
    boots: Select[Any]


def unused(before_ms: int, most: int) -> Unused:
    """At most so many of each; evidence that was last seen before."""
    e, s = _EVIDENCE.c, _SEGMENTS.c
    old = select(e.id).where(e.last_ms < before_ms, e.id.not_in(HELD))
    logs = select(_LOGS.c.sha256).where(
        _LOGS.c.sha256.not_in(select(e.boot_log_sha256)),
        _LOGS.c.sha256.not_in(select(DEVICES.c.boot_log_sha256)),
    )
    boots = select(s.device, s.reset_count, s.restart_count).where(
        tuple_(s.device, s.reset_count, s.restart_count).not_in(
            select(e.device, e.reset_count, e.restart_count)
        )
    )
    return Unused(old.limit(most), logs.limit(most), boots.distinct().limit(most))


def collect(rows: Rows, before_ms: int, most: int) -> None:
    """See `ports.EvidenceKept.collect`."""
    s = _SEGMENTS.c
    queries = unused(before_ms, most)
    rows.run(delete(_EVIDENCE).where(_EVIDENCE.c.id.in_(rows.scalars(queries.evidence))))
    rows.run(delete(_LOGS).where(_LOGS.c.sha256.in_(rows.scalars(queries.logs))))
    for boot in rows.all(queries.boots):
        rows.run(
            delete(_SEGMENTS).where(
                s.device == boot.device,
                s.reset_count == boot.reset_count,
                s.restart_count == boot.restart_count,
            )
        )
