"""The log's tree in the database: append an entry, prove an entry, sign a head. Hashing is RFC 9162's; nodes are kept, so that all cost a logarithm.

Whoever writes holds the store's one write transaction, so indices follow each other without a gap. What the last transaction left (size, frontier,
last hash) is kept in memory and checked against the store's own size, because another process of this host may have written in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, delete, event, func, insert, select
from sqlalchemy.orm import Session

from framegate.errors import Reason, Refused
from framegate.receipt_verifier import leaf_hash
from framegate.record.entry import entry_bytes
from framegate.record.merkle import Frontier, consistency_path, inclusion_path
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.tables import LogEntry, LogHead, LogNode

_KEY: Final = "framegate-log"


@dataclass(frozen=True, slots=True)
class LogProof:
    """An entry, its index, its inclusion path, and the signed checkpoint the path leads to."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


@dataclass
class _Tail:
    """The log's end as this transaction sees it."""

    frontier: Frontier
    last: bytes | None

    def copy(self) -> _Tail:
        return _Tail(self.frontier.copy(), self.last)


_TAILS: WeakKeyDictionary[Engine, _Tail] = WeakKeyDictionary()
"""What the last committed transaction of this process left, for each store."""


def append(session: Session, body: Mapping[str, Any], now_ms: int) -> int:
    """Add an entry; returns its index. The transaction that makes a change adds its entry: both are there, or neither."""
    tail = _tail(session)
    index = tail.frontier.size
    raw = entry_bytes(index, tail.last, body)
    leaf = leaf_hash(raw)
    session.execute(insert(LogEntry), [{
        "id": index, "at_ms": now_ms, "kind": body["kind"], "device": body.get("device", ""), "event": body.get("event", body["kind"])[:32], "actor": body.get("actor", ""),
        "entry": raw,
    }])  # fmt: skip
    session.execute(insert(LogNode), [{"level": level, "position": at, "hash": made} for level, at, made in tail.frontier.append(leaf)])
    tail.last = leaf
    return index


def prove(session: Session, keys: FleetKeys, index: int, now_ms: int) -> LogProof:
    """That entry `index` is in the log as it stands now. KeyError where there is no such entry."""
    row = session.get(LogEntry, index)
    if row is None:
        raise KeyError(index)
    size = log_size(session)
    path = inclusion_path(index, size, lambda level, at: _node(session, level, at))
    return LogProof(row.entry, index, tuple(path), checkpoint(session, keys, now_ms))


def prove_growth(session: Session, first: int, second: int) -> list[bytes]:
    """That the log of `second` entries is the one of `first` grown (RFC 9162, 2.1.4). Raises ValueError."""
    if second > log_size(session):
        raise ValueError(f"a log of {second} entries")
    return consistency_path(first, second, lambda level, at: _node(session, level, at))


def checkpoint(session: Session, keys: FleetKeys, now_ms: int) -> bytes:
    """The signed head of the log as it stands now; kept, one for each size."""
    frontier = _tail(session).frontier
    kept = session.get(LogHead, frontier.size)
    if kept is not None:
        return kept.envelope
    signer = keys.signing["log"]
    envelope = Checkpoint(fleet=keys.fleet, size=frontier.size, root=frontier.root.hex(), at_ms=now_ms).seal(signer.der, signer.sign)
    session.add(LogHead(size=frontier.size, at_ms=now_ms, envelope=envelope))
    return envelope


def thin_heads(session: Session, keep_from_ms: int, every_ms: int) -> None:
    """Of heads older than `keep_from_ms` keep one in `every_ms`: enough to say where a rewritten log was still whole."""
    last = 0
    for size, at_ms in session.execute(select(LogHead.size, LogHead.at_ms).where(LogHead.at_ms < keep_from_ms).order_by(LogHead.size)).all():
        if at_ms - last < every_ms:
            session.execute(delete(LogHead).where(LogHead.size == size))
        else:
            last = at_ms


def require_whole(session: Session, witnessed: bytes) -> None:
    """That the log still holds what the head `witnessed` was signed over: checked at every start, against a head kept outside the store.

    Raises Refused (AUDIT): the log was cut, deleted or rewritten. The caller MUST have verified the head's signature.
    """
    head = Checkpoint.parse_payload(witnessed)
    size = log_size(session)
    hint = "restore the registry from its backup; framegate audit verify on an export names the entry"
    if head.size > size:
        raise Refused.of(Reason.AUDIT, f"a log of at least {head.size} entries, as its last head says", f"{size}", hint)
    found = Frontier.resume(head.size, lambda level, at: _node(session, level, at)).root.hex()
    if head.size and found != head.root:
        raise Refused.of(Reason.AUDIT, f"the log whose first {head.size} entries have the root {head.root[:16]}…", f"{found[:16]}…", hint)


def log_size(session: Session) -> int:
    """How many entries the log has."""
    last = session.scalars(select(func.max(LogEntry.id))).one()
    return 0 if last is None else last + 1


def _tail(session: Session) -> _Tail:
    """This transaction's own end of the log, to be given back when it commits."""
    held = session.info.get(_KEY)
    if held is not None:
        return held  # type: ignore[no-any-return]
    engine = session.get_bind()
    assert isinstance(engine, Engine)  # noqa: S101 - sessions are made by Database, on an engine
    size, known = log_size(session), _TAILS.get(engine)
    if known is None or known.frontier.size != size:
        known = _Tail(Frontier.resume(size, lambda level, at: _node(session, level, at)), _node(session, 0, size - 1) if size else None)
    mine = known.copy()
    session.info[_KEY] = mine

    def committed(_session: Session) -> None:
        _TAILS[engine] = mine

    event.listen(session, "after_commit", committed, once=True)
    return mine


def _node(session: Session, level: int, index: int) -> bytes:
    found = session.get(LogNode, (level, index))
    if found is None:
        raise KeyError((level, index))
    return found.hash
