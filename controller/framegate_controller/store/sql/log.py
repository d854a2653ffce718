"""The record's rows over SQLAlchemy. Whoever writes holds the store's one write transaction, so
indices follow each other without a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import Row, and_, bindparam, delete, func, insert, select

from framegate.receipt_verifier import leaf_hash
from framegate.record.entry import entry_bytes
from framegate.record.merkle import Frontier
from framegate_controller.store.ports import EntryQuery, LoggedEntry
from framegate_controller.store.shared.tail import LogTail, Tail
from framegate_controller.store.sql.prepared import Prepared
from framegate_controller.store.sql.rows import Rows, table_of
from framegate_controller.store.tables import record

_ENTRIES: Final = table_of(record.LogEntry)
_HEADS: Final = table_of(record.LogHead)
_NODES: Final = table_of(record.LogNode)
_ADD_ENTRY: Final = Prepared(insert(_ENTRIES))
_LAST: Final = select(func.max(_ENTRIES.c.id))
_END: Final = Prepared(
    select(_ENTRIES.c.id, _NODES.c.hash)
    .outerjoin(_NODES, and_(_NODES.c.level == 0, _NODES.c.position == _ENTRIES.c.id))
    .order_by(_ENTRIES.c.id.desc())
    .limit(1)
)
"""The last entry, and its leaf of the tree."""
MAX_EVENT: Final = 32
"""Characters of an event's name in its look-up column; names are declared and shorter."""


@cache
def _adding(nodes: int) -> Prepared:
    """So many nodes, in one statement: an entry completes two on average, and never more than the
    tree is high.
    """
    rows = [
        {c.name: bindparam(f"{c.name}{i}", type_=c.type) for c in _NODES.columns}
        for i in range(nodes)
    ]
    return Prepared(insert(_NODES).values(rows))


class SqlRecord:
    """See `ports.RecordStore`. `tail` is what the last committed transaction of this process left;
    this one's own end is `kept` until it commits. Whoever `writes` records
    something at last, so the end is asked for with what it asks first.
    """

    def __init__(self, rows: Rows, tail: LogTail, at_ms: int, *, writes: bool = False) -> None:
        self._rows, self._tail, self._at_ms = rows, tail, at_ms
        self._last = rows.ahead(_END) if writes else lambda: rows.one(_END)
        self._mine: Tail | None = None

    def append(self, body: Mapping[str, Any]) -> int:
        """See `ports.RecordStore.append`."""
        tail = self._end()
        index = tail.frontier.size
        raw = entry_bytes(index, tail.last, body)
        leaf = leaf_hash(raw)
        looked_up = {
            "kind": body["kind"],
            "device": body.get("device", ""),
            "actor": body.get("actor", ""),
        }
        event = str(body.get("event", body["kind"]))[:MAX_EVENT]
        self._rows.later(
            _ADD_ENTRY,
            {
                "id": index,
                "at_ms": body.get("at_ms", self._at_ms),
                **looked_up,
                "event": event,
                "entry": raw,
            },
        )
        nodes = list(tail.frontier.append(leaf))
        values: dict[str, Any] = {f"level{i}": node.level for i, node in enumerate(nodes)}
        values |= {f"position{i}": node.index for i, node in enumerate(nodes)}
        values |= {f"hash{i}": node.hash for i, node in enumerate(nodes)}
        self._rows.later(_adding(len(nodes)), values)
        tail.last = leaf
        return index

    def entry(self, index: int) -> LoggedEntry | None:
        """One entry."""
        row = self._rows.one(select(_ENTRIES).where(_ENTRIES.c.id == index))
        return _entry(row) if row is not None else None

    def entries(
        self, query: EntryQuery, *, first: int, below: int, most: int, newest_first: bool = False
    ) -> list[LoggedEntry]:
        """See `ports.RecordStore.entries`."""
        e = _ENTRIES.c
        wanted = select(_ENTRIES).where(e.id >= first, e.id < below)
        for column, value in (
            (e.device, query.device),
            (e.event, query.event),
            (e.actor, query.actor),
            (e.kind, query.kind),
        ):
            wanted = wanted.where(column == value) if value else wanted
        wanted = wanted.where(e.at_ms >= query.since_ms) if query.since_ms else wanted
        wanted = wanted.where(e.event.not_in(query.but_events)) if query.but_events else wanted
        return [
            _entry(r)
            for r in self._rows.all(
                wanted.order_by(e.id.desc() if newest_first else e.id).limit(most)
            )
        ]

    def spoken_of(self, first: int, *, but_event: str) -> set[str]:
        """See `ports.RecordStore.spoken_of`."""
        e = _ENTRIES.c
        query = select(e.device).where(e.id >= first, e.device != "", e.event != but_event)
        return set(self._rows.scalars(query.distinct()))

    def size(self) -> int:
        """How many entries there are."""
        if self._mine is not None:
            return self._mine.frontier.size
        last = self._rows.scalar(_LAST)
        return 0 if last is None else int(last) + 1

    def node(self, level: int, position: int) -> bytes:
        """Hash of a complete subtree. KeyError where there is none."""
        row = self._rows.one(
            select(_NODES.c.hash).where(_NODES.c.level == level, _NODES.c.position == position)
        )
        if row is None:
            raise KeyError((level, position))
        return bytes(row.hash)

    def nodes(self, level: int, first: int, most: int) -> list[bytes]:
        """See `ports.RecordStore.nodes`."""
        n = _NODES.c
        query = select(n.hash).where(n.level == level, n.position >= first)
        return [bytes(h) for h in self._rows.scalars(query.order_by(n.position).limit(most))]

    def root(self) -> str:
        """Root of the whole tree, in hex."""
        return self._end().frontier.root.hex()

    def head(self, size: int) -> bytes | None:
        """The head that was signed over `size` entries."""
        row = self._rows.one(select(_HEADS.c.envelope).where(_HEADS.c.size == size))
        return bytes(row.envelope) if row is not None else None

    def add_head(self, size: int, at_ms: int, envelope: bytes) -> None:
        """Keep a signed head."""
        self._rows.run(insert(_HEADS).values(size=size, at_ms=at_ms, envelope=envelope))

    def heads(self, below: int, most: int) -> list[bytes]:
        """Oldest first, the last `most`."""
        query = (
            select(_HEADS.c.envelope)
            .where(_HEADS.c.size < below)
            .order_by(_HEADS.c.size.desc())
            .limit(most)
        )
        return list(reversed(self._rows.scalars(query)))

    def thin_heads(self, keep_from_ms: int, every_ms: int) -> None:
        """See `ports.RecordStore.thin_heads`."""
        last = 0
        # the last one stays: whoever connects is shown it, and must not think the record fell back
        newest = select(func.max(_HEADS.c.size)).scalar_subquery()
        query = (
            select(_HEADS.c.size, _HEADS.c.at_ms)
            .where(_HEADS.c.at_ms < keep_from_ms, _HEADS.c.size < newest)
            .order_by(_HEADS.c.size)
        )
        for head in self._rows.all(query):
            if head.at_ms - last < every_ms:
                self._rows.run(delete(_HEADS).where(_HEADS.c.size == head.size))
            else:
                last = head.at_ms

    def committed(self) -> None:
        """This transaction's end of the record is the store's now."""
        if self._mine is not None:
            self._tail.keep(self._mine)

    def _end(self) -> Tail:
        """This transaction's own end of the record."""
        if self._mine is None:
            end = self._last()
            size = end.id + 1 if end is not None else 0
            if end is not None and end.hash is None:
                raise KeyError((0, end.id))
            last = bytes(end.hash) if end is not None else None
            known = self._tail.at(size, last)
            if known is None:
                known = Tail(Frontier.resume(size, self.node), last)
            self._mine = known.copy()
        return self._mine


def _entry(r: Row[Any]) -> LoggedEntry:
    return LoggedEntry(r.id, r.at_ms, r.kind, r.device, r.event, r.actor, bytes(r.entry))
