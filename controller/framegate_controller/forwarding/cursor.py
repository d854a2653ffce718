"""A sink's cursor into the record: the batch that is next, and what moves it."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from framegate.record.sink_events import DeadLetter, SinkBack, SinkSilent
from framegate.registry.sink import Sink
from framegate_controller.record.tail import RecordTail
from framegate_controller.sinks.messages import (
    BATCH_BYTES,
    BATCH_ENTRIES,
    Answer,
    BatchEntry,
    Refusal,
)
from framegate_controller.store.ports import CONTROLLER, EntryQuery, Store, Transaction

SILENT_MS: Final = 120_000
"""After so long without a confirmation it stands in the record that a sink is silent: longer than a
collector's restart.
"""
REFUSED_TRIES: Final = 3
"""How often an entry is sent that the sink refuses by itself, before it is a dead letter."""
DEAD_LETTER: Final = "siem-dead-letter"
_RESTORED: Final = EntryQuery(event="registry-restored")
_MAX_RESTORATIONS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Restored:
    """Entry `index` tells of restoration `number`."""

    index: int
    number: int


@dataclass(frozen=True, slots=True)
class NextBatch:
    """The entries from `first` on, and which of them are themselves about dead letters."""

    first: int
    entries: tuple[BatchEntry, ...]
    dead_letters: frozenset[int]


def next_batch(
    store: Store, cursor: int, tail: RecordTail | None = None, most: int = BATCH_ENTRIES
) -> NextBatch | None:
    """What comes after `cursor`, at most so many; None where there is nothing."""
    with store.reading() as tx:
        below = min(tx.log.size(), cursor + most)
        rows = [e.logged for e in (tail or RecordTail(store)).entries(cursor, below)]
        restored = restorations_in(tx) if rows else []
    entries, dead_letters, size = list[BatchEntry](), set[int](), 0
    for row in rows:
        entries.append(BatchEntry(row.entry, number_at(row.index, restored)))
        if row.event == DEAD_LETTER:
            dead_letters.add(row.index)
        size += len(row.entry)
        if size >= BATCH_BYTES:
            break
    return NextBatch(cursor, tuple(entries), frozenset(dead_letters)) if entries else None


def restorations_in(tx: Transaction) -> list[Restored]:
    """The restorations that the record tells of, in order."""
    rows = tx.log.entries(_RESTORED, first=0, below=tx.log.size(), most=_MAX_RESTORATIONS)
    return [Restored(r.index, int(json.loads(r.entry)["members"]["number"])) for r in rows]


def number_at(index: int, restored: Sequence[Restored]) -> int:
    """The number of the last restoration up to entry `index`, 0 where there was none."""
    at = bisect_right([r.index for r in restored], index)
    return restored[at - 1].number if at else 0


def settled(sink: Sink, batch: NextBatch, answer: Answer) -> Answer:
    """`answer`, with the one entry of a batch as a dead letter where the sink has refused it
    `REFUSED_TRIES` times.
    """
    if not answer.wholly or len(batch.entries) > 1 or sink.failures + 1 < REFUSED_TRIES:
        return answer
    refusal = Refusal(batch.first, batch.first, 1, answer.failed)
    return Answer(confirmed=batch.first + 1, refusals=(refusal,))


def move(store: Store, sink: Sink, batch: NextBatch, answer: Answer) -> Sink | None:
    """Move the cursor to what was confirmed, in one transaction with the events that say what was
    not; the sink after that, None where it was removed meanwhile.

    Of a dead letter that is itself about dead letters no other is made: two sinks that refuse
    everything would have each other's for ever.
    """
    with store.writing() as tx:
        current = tx.sinks.get(sink.name)
        if current is None or current.added_ms != sink.added_ms:
            return None
        moved = _after(tx, current, answer)
        told = [r for r in answer.refusals if r.first not in batch.dead_letters]
        if told:
            spans = tuple(map(_span, told))
            tx.record(DeadLetter(sink=sink.name, entries=spans, why=told[0].why), by=CONTROLLER)
        moved = replace(moved, dead=moved.dead + sum(r.count for r in answer.refusals))
        tx.sinks.put(moved)
        return moved


def _after(tx: Transaction, sink: Sink, answer: Answer) -> Sink:
    """The sink after `answer`, and the event of its falling silent or coming back."""
    if answer.confirmed > sink.confirmed:
        sink = replace(
            sink,
            confirmed=answer.confirmed,
            confirmed_ms=tx.now_ms,
            failures=0,
            failing_ms=0,
            error="",
        )
        if sink.silent and not answer.failed:
            tx.record(SinkBack(sink=sink.name, confirmed=sink.confirmed), by=CONTROLLER)
            sink = replace(sink, silent=False)
    if not answer.failed:
        return sink
    since = sink.failing_ms or tx.now_ms
    sink = replace(sink, failing_ms=since, failures=sink.failures + 1, error=answer.failed)
    if not sink.silent and tx.now_ms - since >= SILENT_MS:
        waiting = tx.log.size() - sink.confirmed
        tx.record(SinkSilent(sink=sink.name, waiting=waiting, why=answer.failed), by=CONTROLLER)
        sink = replace(sink, silent=True)
    return sink


def _span(refusal: Refusal) -> str:
    if refusal.first == refusal.last:
        return str(refusal.first)
    return f"{refusal.first}-{refusal.last}: {refusal.count}"
