"""How much room kept evidence takes, over SQLAlchemy: a device's oldest gives way, and what nothing
refers to any more is collected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Integer, Row, bindparam, delete, exists, func, or_, select

from framegate_controller.store.ports import Sweep
from framegate_controller.store.sql.device_rows import DEVICES
from framegate_controller.store.sql.prepared import Prepared
from framegate_controller.store.sql.rows import Rows, table_of
from framegate_controller.store.tables import evidence, playbooks

_EVIDENCE: Final = table_of(evidence.EvidenceRow)
_LOGS: Final = table_of(evidence.BootLogRow)
_SEGMENTS: Final = table_of(evidence.ImaSegment)
HELD_EVIDENCE: Final = table_of(playbooks.HeldEvidence)
HELD: Final = select(HELD_EVIDENCE.c.evidence)
"""Ids of evidence that is never forgotten."""


_NEWEST: Final = Prepared(
    select(
        _EVIDENCE.c.id,
        func.length(_EVIDENCE.c.proof, type_=Integer).label("size"),
        _EVIDENCE.c.boot_log_sha256,
        _EVIDENCE.c.reset_count,
        _EVIDENCE.c.restart_count,
    )
    .where(_EVIDENCE.c.device == bindparam("of"), _EVIDENCE.c.id.not_in(HELD))
    .order_by(_EVIDENCE.c.last_ms.desc(), _EVIDENCE.c.first_ms.desc())
    .limit(bindparam("most", type_=Integer))
)


def trim(rows: Rows, device: str, most: int, most_bytes: int) -> None:
    """See `ports.EvidenceKept.trim`."""
    e, s = _EVIDENCE.c, _SEGMENTS.c
    newest = rows.all(_NEWEST, {"of": device, "most": most + 1})
    if len(newest) <= 1:  # the newest is kept, however large it is
        return
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
    """What nobody needs any more: evidence by id, boot logs by digest, IMA lists by device and
    boot; and where the next look goes on.
    """

    evidence: Sequence[str]
    logs: Sequence[bytes]
    boots: Sequence[Row[Any]]
    after: Sweep


def unused(rows: Rows, before_ms: int, most: int, after: Sweep) -> Unused:
    """At most so many of each; evidence that was last seen before. Of logs and lists so many are
    looked at from `after` on, so that a look costs the same in a fleet of any size.
    """
    e, s = _EVIDENCE.c, _SEGMENTS.c
    old = select(e.id).where(e.last_ms < before_ms, e.id.not_in(HELD)).limit(most)
    digest, theirs = _LOGS.c.sha256, DEVICES.c.boot_log_sha256
    logs = rows.scalars(select(digest).where(digest > after.log).order_by(digest).limit(most))
    # whether there is any: thousands of machines may have one log
    referred = or_(exists().where(e.boot_log_sha256 == digest), exists().where(theirs == digest))
    needed = set(rows.scalars(select(digest).where(digest.in_(logs), referred)))
    boots = rows.all(
        select(s.device, s.reset_count, s.restart_count)
        .where(s.device > after.device)
        .distinct()
        .order_by(s.device, s.reset_count, s.restart_count)
        .limit(most)
    )
    machines = sorted({boot.device for boot in boots})
    seen = rows.all(
        select(e.device, e.reset_count, e.restart_count).where(e.device.in_(machines)).distinct()
    )
    lived = {tuple(boot) for boot in seen}
    # a machine whose boots were cut off by the limit is looked at again, unless it is the only one
    whole = machines if len(boots) < most or len(machines) < 2 else machines[:-1]
    return Unused(
        rows.scalars(old),
        [log for log in logs if log not in needed],
        [boot for boot in boots if tuple(boot) not in lived],
        Sweep(
            log=logs[-1] if len(logs) == most else b"",
            device=whole[-1] if len(boots) == most else "",
        ),
    )


def collect(rows: Rows, before_ms: int, most: int, after: Sweep) -> None:
    """See `ports.EvidenceKept.collect`."""
    s = _SEGMENTS.c
    gone = unused(rows, before_ms, most, after)
    if gone.evidence:
        rows.run(delete(_EVIDENCE).where(_EVIDENCE.c.id.in_(gone.evidence)))
        gone = unused(rows, before_ms, most, after)  # what only that evidence referred to
    rows.run(delete(_LOGS).where(_LOGS.c.sha256.in_(gone.logs)))
    for boot in gone.boots:
        rows.run(
            delete(_SEGMENTS).where(
                s.device == boot.device,
                s.reset_count == boot.reset_count,
                s.restart_count == boot.restart_count,
            )
        )
