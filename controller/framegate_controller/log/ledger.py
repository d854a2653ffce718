"""The log's tree in the database: append an entry, prove an entry. Hashing is RFC 9162's; nodes are kept, so that both cost a logarithm."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from framegate.merkle import Frontier, inclusion_path
from framegate.receipt_verifier import leaf_hash
from framegate.receipts import Checkpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.tables import LogEntry, LogNode


@dataclass(frozen=True, slots=True)
class LogProof:
    """An entry, its index, its inclusion path, and the signed checkpoint the path leads to."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


def append(session: Session, entry: bytes, now_ms: int) -> int:
    """Add an entry; returns its index. The transaction that makes a change adds its entry: both are there, or neither."""
    size = log_size(session)
    frontier = Frontier.resume(size, lambda level, index: _node(session, level, index))
    session.add(LogEntry(id=size, at_ms=now_ms, entry=entry))
    session.add_all(LogNode(level=level, position=index, hash=made) for level, index, made in frontier.append(leaf_hash(entry)))
    session.flush()
    return size


def prove(session: Session, keys: FleetKeys, index: int, now_ms: int) -> LogProof:
    """That entry `index` is in the log as it stands now. KeyError where there is no such entry."""
    row = session.get(LogEntry, index)
    if row is None:
        raise KeyError(index)
    size = log_size(session)
    path = inclusion_path(index, size, lambda level, at: _node(session, level, at))
    return LogProof(row.entry, index, tuple(path), checkpoint(session, keys, now_ms))


def checkpoint(session: Session, keys: FleetKeys, now_ms: int) -> bytes:
    """The signed head of the log as it stands now."""
    size = log_size(session)
    root = Frontier.resume(size, lambda level, index: _node(session, level, index)).root
    signer = keys.signing["log"]
    return Checkpoint(fleet=keys.fleet, size=size, root=root.hex(), at_ms=now_ms).seal(signer.der, signer.sign)


def log_size(session: Session) -> int:
    """How many entries the log has."""
    last = session.scalars(select(func.max(LogEntry.id))).one()
    return 0 if last is None else last + 1


def _node(session: Session, level: int, index: int) -> bytes:
    found = session.get(LogNode, (level, index))
    if found is None:
        raise KeyError((level, index))
    return found.hash
