"""A cursor is moved by the sink's word alone, and what it will not have stands in the record."""

import json
from dataclasses import replace

import pytest

from framegate.record.fleet_events import RegistryRestored
from framegate.registry.sink import SinkKind
from framegate_controller.forwarding.cursor import (
    REFUSED_TRIES,
    SILENT_MS,
    move,
    next_batch,
    number_at,
    restorations_in,
    settled,
)
from framegate_controller.sinks.messages import BATCH_BYTES, BATCH_ENTRIES, Answer, Refusal
from support.audit_log import quarantined
from support.sinks import add_sink, fill, sink_of


@pytest.fixture
def sink(bench):
    fill(bench.store, 10)
    with bench.store.reading() as tx:
        size = tx.log.size()
    return add_sink(bench.store, SinkKind.FILE, confirmed=size - 10)


def moved(bench, sink, answer):
    return move(bench.store, sink, next_batch(bench.store, sink.confirmed), answer)


def test_a_batch_begins_at_the_cursor_and_has_bounds(bench):
    fill(bench.store, BATCH_ENTRIES + 5)
    batch = next_batch(bench.store, 3)
    assert batch.first == 3
    assert len(batch.entries) == BATCH_ENTRIES
    assert json.loads(batch.entries[0].raw)["index"] == 3
    with bench.store.reading() as tx:
        assert next_batch(bench.store, tx.log.size()) is None


def test_long_entries_make_a_small_batch(bench):
    with bench.store.writing() as tx:
        first = tx.log.size()
        for _ in range(100):
            tx.record(quarantined(why="x" * 4000))
    batch = next_batch(bench.store, first)
    size = sum(len(e.raw) for e in batch.entries)
    assert BATCH_BYTES <= size < BATCH_BYTES + 64 * 1024


def test_a_confirmation_moves_the_cursor(bench, sink):
    after = moved(bench, sink, Answer(confirmed=sink.confirmed + 10))
    assert after == sink_of(bench.store)
    assert after.confirmed == sink.confirmed + 10
    assert after.confirmed_ms == bench.clock()
    assert bench.events("siem-dead-letter") == []


def test_a_failure_moves_nothing_and_counts(bench, sink):
    for times in (1, 2, 3):
        sink = moved(bench, sink, Answer(confirmed=sink.confirmed, failed="down"))
        assert (sink.failures, sink.error) == (times, "down")
    since = sink.failing_ms
    after = moved(bench, sink, Answer(confirmed=sink.confirmed + 4, failed="down again"))
    assert after.confirmed == sink.confirmed + 4
    assert (after.failures, after.error) == (1, "down again")
    assert since
    healthy = moved(bench, after, Answer(confirmed=after.confirmed + 1))
    assert (healthy.failures, healthy.failing_ms, healthy.error) == (0, 0, "")


def test_a_sink_that_is_silent_for_minutes_is_said_once_and_its_return_once(bench, sink):
    for _ in range(5):
        sink = moved(bench, sink, Answer(confirmed=sink.confirmed, failed="down"))
        bench.clock.pass_s(SILENT_MS / 1000)
    assert len(bench.events("siem-silent")) == 1
    assert sink.silent
    sink = moved(bench, sink, Answer(confirmed=sink.confirmed + 1))
    sink = moved(bench, sink, Answer(confirmed=sink.confirmed + 1))
    assert len(bench.events("siem-back")) == 1


def test_a_dead_letter_is_an_event_in_the_transaction_of_the_cursor(bench, sink):
    first = sink.confirmed
    refusals = (Refusal(first + 2, first + 2, 1, "odd"), Refusal(first + 5, first + 7, 2, "odder"))
    after = moved(bench, sink, Answer(confirmed=first + 10, refusals=refusals))
    (letter,) = bench.events("siem-dead-letter")
    assert letter["members"]["entries"] == [str(first + 2), f"{first + 5}-{first + 7}: 2"]
    assert letter["members"]["why"] == "odd"
    assert after.dead == 3
    assert after.confirmed == first + 10


def test_an_entry_refused_by_itself_is_a_dead_letter_after_some_tries(bench, sink):
    with bench.store.reading() as tx:
        sink = replace(sink, confirmed=tx.log.size() - 1)
    add_sink(bench.store, SinkKind.FILE, confirmed=sink.confirmed)
    refused = Answer(confirmed=sink.confirmed, failed="refused: odd", wholly=True)
    for times in range(1, REFUSED_TRIES + 1):
        batch = next_batch(bench.store, sink.confirmed)
        answer = settled(sink, batch, refused)
        sink = move(bench.store, sink, batch, answer)
        assert sink.dead == (1 if times == REFUSED_TRIES else 0)
    assert len(bench.events("siem-dead-letter")) == 1


def test_n150_a_sink_that_refuses_whole_batches_skips_nothing(bench, sink):
    refused = Answer(confirmed=sink.confirmed, failed="refused: all", wholly=True)
    for _ in range(20):
        batch = next_batch(bench.store, sink.confirmed)
        sink = move(bench.store, sink, batch, settled(sink, batch, refused))
    assert (sink.dead, sink.failures) == (0, 20)
    assert bench.events("siem-dead-letter") == []


def test_n150_dead_letters_of_dead_letters_end(bench, sink):
    """Two sinks that refuse everything would make entries for each other for ever."""
    for name in ("one", "two"):
        add_sink(bench.store, SinkKind.FILE, name=name, confirmed=sink.confirmed)
    for _ in range(30):
        for name in ("one", "two"):
            at = sink_of(bench.store, name)
            batch = next_batch(bench.store, at.confirmed)
            if batch is None:
                continue
            whole = tuple(Refusal(n, n, 1, "no") for n in range(at.confirmed, at.confirmed + 1))
            rest = Answer(confirmed=at.confirmed + 1, refusals=whole, failed="slow")
            move(bench.store, at, batch, rest)
    letters = len(bench.events("siem-dead-letter"))
    assert letters == 20  # ten entries, two sinks; none about a letter


@pytest.mark.parametrize("change", ["removed", "added anew"])
def test_a_sink_that_went_meanwhile_is_not_moved(bench, sink, change):
    batch = next_batch(bench.store, sink.confirmed)
    with bench.store.writing() as tx:
        tx.sinks.remove(sink.name)
        if change == "added anew":
            tx.sinks.put(replace(sink, added_ms=99, confirmed=0))
    assert move(bench.store, sink, batch, Answer(confirmed=sink.confirmed + 10)) is None
    with bench.store.reading() as tx:
        left = tx.sinks.get(sink.name)
    assert left is None or left.confirmed == 0


def test_n150_an_entry_after_a_restoration_has_its_number(bench):
    fill(bench.store, 3)
    with bench.store.writing() as tx:
        at = tx.log.size()
        tx.record(RegistryRestored(number=4, kept=at, seen=at, revision=1, source="", withdrawn=()))
    fill(bench.store, 2)
    batch = next_batch(bench.store, 0)
    numbers = [e.restorations for e in batch.entries]
    assert numbers == [0] * at + [4] * 3
    with bench.store.reading() as tx:
        restored = restorations_in(tx)
    assert [number_at(n, restored) for n in (at - 1, at, at + 9)] == [0, 4, 4]
