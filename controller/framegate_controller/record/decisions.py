"""The log of decisions: its signed heads, what witnesses said to them, and proofs out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from framegate.record.merkle import consistency_path, inclusion_path
from framegate.transparency.decision import Named
from framegate.transparency.following import LogAnswer
from framegate.transparency.head import TreeHead, log_key, log_origin, parse_head, sign_head
from framegate.transparency.note import NoteKey, parse_note, parse_signatures
from framegate.transparency.proof import Inclusion
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.restorations import restored_times

MOST_SIZES: Final = 64
"""Heads that are looked through for one with enough cosignatures."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """The log's present head: signed, with every cosignature there is."""

    head: TreeHead
    note: bytes


def decisions_key(tx: Transaction, keys: FleetKeys) -> NoteKey:
    """The key of this fleet's log, under the origin that it has now."""
    origin = log_origin(keys.fleet, restored_times(tx))
    return log_key(origin, keys.signing["log"].key.public_key())


def signed_head(tx: Transaction, keys: FleetKeys) -> bytes:
    """The note of the head as the log stands, signed once for each size: a log never signs two."""
    key, size = decisions_key(tx, keys), tx.decisions.size()
    kept = tx.decisions.head(key.name, size)
    if kept is not None:
        return kept
    head = TreeHead(key.name, size, tx.decisions.root())
    note = sign_head(head, key, keys.signing["log"].sign)
    tx.decisions.add_head(key.name, size, note)
    return note


def present_head(tx: Transaction, keys: FleetKeys) -> LogHead:
    """The head over all entries, with the cosignatures that it has."""
    note = signed_head(tx, keys)
    return _with_cosignatures(tx, note)


def published_head(tx: Transaction, keys: FleetKeys, least: int) -> LogHead | None:
    """The largest head that `least` witnesses cosigned, None where there is none."""
    origin = decisions_key(tx, keys).name
    for size in tx.decisions.cosigned_sizes(origin, MOST_SIZES):
        note = tx.decisions.head(origin, size)
        if note is not None and len(tx.decisions.cosignatures(origin, size)) >= least:
            return _with_cosignatures(tx, note)
    return None


def growth(tx: Transaction, first: int, second: int) -> tuple[bytes, ...]:
    """That the log of `second` entries is that of `first` grown; empty where nothing is to be
    shown. Whoever asks from more than there is finds out by that.
    """
    if not 0 < first < second:
        return ()
    return tuple(consistency_path(first, second, tx.decisions.node))


def answer(
    tx: Transaction,
    keys: FleetKeys,
    *,
    seen: tuple[str, int],
    wanted: Sequence[Named],
    least: int,
) -> LogAnswer | None:
    """What a machine is shown that saw a head of this origin and size: the published head, that it
    goes on from there, and each of `wanted` that is under it. None without a published head.
    """
    published = published_head(tx, keys, least)
    if published is None or (seen[0] == published.head.origin and published.head.size < seen[1]):
        published = published_head(tx, keys, 1)  # whoever saw more judges by its own demand
    if published is None:
        return None
    head = published.head
    inclusions = []
    for named in wanted:
        index = tx.decisions.index_of(named)
        if index is not None and index < head.size:
            path = inclusion_path(index, head.size, tx.decisions.node)
            (entry,) = tx.decisions.entries(index, 1)
            inclusions.append(Inclusion(entry, index, tuple(path)))
    origin, size = seen
    return LogAnswer(
        note=published.note,
        certificate=keys.signing["log"].der,
        growth=growth(tx, size, head.size) if origin == head.origin else (),
        inclusions=tuple(inclusions),
    )


def _with_cosignatures(tx: Transaction, note: bytes) -> LogHead:
    head = parse_head(parse_note(note).text)
    lines = [c.line for c in tx.decisions.cosignatures(head.origin, head.size)]
    for line in lines:
        parse_signatures(line)  # a line is one, whatever the store holds
    return LogHead(head, note + "".join(lines).encode())
