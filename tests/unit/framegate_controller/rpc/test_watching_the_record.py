"""Watching the record: answered when it grew, judged anew each time, ended with the session."""

import asyncio

import grpc
import pytest

from framegate.errors import Reason
from framegate.machines.lifecycle import Event
from framegate_controller.fleet.devices import change_state
from framegate_controller.record.growth import RecordGrowth
from framegate_controller.rpc import table
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

pytestmark = pytest.mark.slow

CAM = "camera.line-1.cam1"
PATIENCE_S = 60.0


async def until(call, wanted):
    """The first answer of which `wanted` holds."""
    while not wanted(answer := await asyncio.wait_for(call.read(), PATIENCE_S)):
        pass
    return answer


def held(answer) -> bool:
    return any(e.event == "quarantine" and e.device == CAM for e in answer.events)


async def test_who_watches_hears_of_an_entry_and_of_the_end_of_their_session(walk, monkeypatch):
    monkeypatch.setattr(table, "BEAT_S", 0.2)
    async with walk.channel("viewer") as channel, walk.channel("auditor") as another:
        call = rpc.OperatorStub(channel).WatchEvents(pb.EventsRequest(limit=5))
        first = await asyncio.wait_for(call.read(), PATIENCE_S)
        assert not held(first) and len(first.events) <= 5
        with walk.store.writing() as tx:
            change_state(tx, tx.devices.find(CAM), Event.QUARANTINE, by="operator.olga")
        answer = await until(call, held)
        assert answer.events[0].index > first.events[0].index, "the newest stands first"
        monkeypatch.setattr(table, "MAX_WATCHING", 1)
        with pytest.raises(grpc.aio.AioRpcError) as one_more:
            await rpc.OperatorStub(another).WatchEvents(pb.EventsRequest()).read()
        assert from_rpc_error(one_more.value, "").reason == Reason.TOO_MANY_TRIES
        walk.sql("UPDATE operator_sessions SET ended_ms = 1 WHERE operator = 'the-viewer'")
        with pytest.raises(grpc.aio.AioRpcError) as over:
            await until(call, lambda _: False)
        assert from_rpc_error(over.value, "").reason == Reason.SIGNED_OUT


async def test_many_who_wait_cost_one_look_and_nobody_who_waits_none():
    looks, sizes = [], iter([1, 1, 2, 2, 2])

    def size() -> int:
        looks.append(1)
        return next(sizes, 2)

    growth = RecordGrowth(size)
    told = await asyncio.gather(*(growth.beyond(1, PATIENCE_S) for _ in range(50)))
    assert told == [2] * 50 and len(looks) == 3
    assert await growth.beyond(1, PATIENCE_S) == 2, "what is known is not waited for"
    assert await growth.beyond(2, 0.05) == 2, "and who waits in vain is answered"
