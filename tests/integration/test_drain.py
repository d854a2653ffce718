"""N106: a gateway that is told to end answers the frames it has taken, and takes no more."""

import asyncio

import grpc
import pytest

from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.frames import captured
from support.gate import Gate
from support.waiting import until


@pytest.fixture
async def gate(keys, tmp_path):
    running = Gate(keys, tmp_path)
    await running.server.start()
    yield running
    await running.server.stop(0)
    running.receipts.close()


async def sent(gate, call, numbers):
    session = await gate.opened(call)
    for number in numbers:
        frame = session.seal(captured(number, 8), b"image %02d" % number)
        await call.write(pb.CameraMessage(frame=frame))


def in_flight(gate) -> int:
    return sum(budget.in_flight for budget in gate.conversations._budgets.values())


async def test_n106_frames_that_were_taken_are_answered_before_the_end(gate):
    gate.engine.go.clear()
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        await sent(gate, call, range(6))
        await until(lambda: in_flight(gate) == 6)
        draining = asyncio.create_task(gate.conversations.drain(30))
        await asyncio.sleep(0)
        assert not draining.done(), "it waits for what is under way"
        gate.engine.go.set()
        outcomes = [gate.verdict(await call.read()).outcome for _ in range(6)]
        assert await call.read() is grpc.aio.EOF
        await draining
    assert outcomes == ["PASS"] * 6 and len(gate.leaves("verdict")) == 6


async def test_n106_a_frame_that_comes_after_is_not_taken_and_has_no_receipt(gate):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        await gate.conversations.drain(30)
        assert await call.read() is grpc.aio.EOF
        with pytest.raises((grpc.RpcError, asyncio.InvalidStateError)):
            for number in range(50):
                frame = session.seal(captured(number, 8), b"image %02d" % number)
                await call.write(pb.CameraMessage(frame=frame))
        again = rpc.FramesStub(channel).Stream()  # who comes anew is sent away as politely
        assert (await again.read()).WhichOneof("kind") == "offer"
        assert await again.read() is grpc.aio.EOF
    assert gate.leaves() == []


async def test_n106_a_model_that_hangs_holds_the_end_up_no_longer_than_it_may(gate):
    gate.engine.go.clear()
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        await sent(gate, call, range(2))
        await until(lambda: in_flight(gate) == 2)
        await gate.conversations.drain(0.01)
        assert in_flight(gate) == 2, "it returned although they have no answer"
    gate.engine.go.set()


async def test_n106_without_a_conversation_there_is_nothing_to_wait_for(gate):
    await asyncio.wait_for(gate.conversations.drain(3600), 30)
