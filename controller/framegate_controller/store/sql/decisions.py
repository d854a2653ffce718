"""The log of decisions over SQLAlchemy. Whoever writes holds the store's one write transaction, so
indices follow each other without a gap.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, insert, select

from framegate.receipt_verifier import leaf_hash
from framegate.record.merkle import Frontier
from framegate.transparency.decision import Decision, Named
from framegate_controller.store.ports.decisions import KeptCosignature, WitnessStanding
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import decisions

_ENTRIES: Final = table_of(decisions.DecisionEntryRow)
_NODES: Final = table_of(decisions.DecisionNodeRow)
_HEADS: Final = table_of(decisions.DecisionHeadRow)
_COSIGNATURES: Final = table_of(decisions.DecisionCosignatureRow)
_WITNESSES: Final = table_of(decisions.DecisionWitnessRow)


class SqlDecisions:
    """See `ports.Decisions`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def append(self, decision: Decision) -> int:
        """See `ports.Decisions.append`."""
        frontier = Frontier.resume(self.size(), self.node)
        index, data = frontier.size, decision.data
        row = {"id": index, "kind": decision.kind, "sha256": decision.sha256, "entry": data}
        self._rows.run(insert(_ENTRIES).values(**row))
        nodes = [
            {"level": node.level, "position": node.index, "hash": node.hash}
            for node in frontier.append(leaf_hash(data))
        ]
        self._rows.run(insert(_NODES), nodes)
        return index

    def size(self) -> int:
        """How many there are."""
        last = self._rows.scalar(select(func.max(_ENTRIES.c.id)))
        return 0 if last is None else int(last) + 1

    def entries(self, first: int, most: int) -> list[bytes]:
        """See `ports.Decisions.entries`."""
        query = select(_ENTRIES.c.entry).where(_ENTRIES.c.id >= first).order_by(_ENTRIES.c.id)
        return [bytes(e) for e in self._rows.scalars(query.limit(most))]

    def index_of(self, named: Named) -> int | None:
        """See `ports.Decisions.index_of`."""
        of = (_ENTRIES.c.sha256 == named.sha256, _ENTRIES.c.kind == named.kind)
        last = self._rows.scalar(select(func.max(_ENTRIES.c.id)).where(*of))
        return None if last is None else int(last)

    def node(self, level: int, position: int) -> bytes:
        """See `ports.Decisions.node`."""
        at = (_NODES.c.level == level, _NODES.c.position == position)
        row = self._rows.one(select(_NODES.c.hash).where(*at))
        if row is None:
            raise KeyError((level, position))
        return bytes(row.hash)

    def root(self) -> bytes:
        """Root of the whole tree."""
        return Frontier.resume(self.size(), self.node).root

    def head(self, origin: str, size: int) -> bytes | None:
        """See `ports.Decisions.head`."""
        at = (_HEADS.c.origin == origin, _HEADS.c.size == size)
        row = self._rows.one(select(_HEADS.c.note).where(*at))
        return bytes(row.note) if row is not None else None

    def add_head(self, origin: str, size: int, note: bytes) -> None:
        """Keep a signed head."""
        self._rows.run(insert(_HEADS).values(origin=origin, size=size, note=note))

    def cosigned_sizes(self, origin: str, most: int) -> list[int]:
        """See `ports.Decisions.cosigned_sizes`."""
        c = _COSIGNATURES.c
        query = select(c.size).where(c.origin == origin).distinct().order_by(c.size.desc())
        return [int(s) for s in self._rows.scalars(query.limit(most))]

    def cosignatures(self, origin: str, size: int) -> list[KeptCosignature]:
        """See `ports.Decisions.cosignatures`."""
        c = _COSIGNATURES.c
        query = select(_COSIGNATURES).where(c.origin == origin, c.size == size)
        return [KeptCosignature(**r._mapping) for r in self._rows.all(query.order_by(c.witness))]

    def put_cosignature(self, cosignature: KeptCosignature) -> None:
        """A new or younger one."""
        self._rows.put(_COSIGNATURES, fields_of(cosignature))

    def witnesses(self) -> list[WitnessStanding]:
        """See `ports.Decisions.witnesses`."""
        query = select(_WITNESSES).order_by(_WITNESSES.c.witness)
        return [WitnessStanding(**r._mapping) for r in self._rows.all(query)]

    def put_witness(self, standing: WitnessStanding) -> None:
        """A new or changed one."""
        self._rows.put(_WITNESSES, fields_of(standing))
