"""The record, read out."""

import pytest

from framegate_controller.verbs.record import CHUNK, ReadLog
from framegate_proto.v1 import framegate_pb2 as pb


@pytest.fixture
def long(bench):
    with bench.store.writing() as tx:
        for number in range(2 * CHUNK + 20):
            tx.log.append(
                {"kind": "event", "event": "x", "actor": f"a{number % 3}", "detail": str(number)}
            )
        bench.size = tx.log.size()
    return bench


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [0, 1, CHUNK, CHUNK + 1])
def test_a_record_is_read_out_whole_while_others_write(long, newest_first, limit):
    verb = ReadLog.parse(pb.ReadLogRequest(newest_first=newest_first, limit=limit))
    seen = []
    for row in verb.rows(long.store, long.fleet, long.size):
        seen.append(row.index)
        if len(seen) == 1:
            with long.store.writing() as tx:  # no reader holds it up
                tx.log.append({"kind": "event", "event": "later", "actor": "a"})
    every = list(range(long.size))[:: -1 if newest_first else 1]
    assert seen == (every[:limit] if limit else every)


def test_a_record_is_read_out_from_an_entry_on_and_by_what_is_asked_for(long):
    asked = ReadLog.parse(pb.ReadLogRequest(first=long.size - 30, actor="a1"))
    rows = list(asked.rows(long.store, long.fleet, long.size))
    assert len(rows) == 10 and all(r.index >= long.size - 30 and r.actor == "a1" for r in rows)
