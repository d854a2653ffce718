"""How a gateway ends: no frame is taken any more, and each that was has its answer."""

import asyncio

import pytest

from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.frames import captured
from support.gate import Gate
from support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
async def gate(keys, tmp_path):
    gate = Gate(keys, tmp_path)
    yield gate
    await gate.conversations.gaps.close()
    gate.receipts.close()


class Talk:
    """A camera that opens a conversation, sends one frame, and waits for ever."""

    def __init__(self, gate) -> None:
        self.gate, self.session, self.waits = gate, None, asyncio.Event()

    def open(self, answers):
        offer = [m.offer for m in answers if m.WhichOneof("kind") == "offer"][-1]
        self.session = self.gate.camera.session(offer, self.gate.keys.newest.publics)
        return pb.CameraMessage(opening=self.session.opening(self.gate.camera))

    def frame(self, _answers):
        return pb.CameraMessage(frame=self.session.seal(captured(1, 9), b"image"))

    async def wait(self, _answers):
        self.waits.set()
        await asyncio.Event().wait()


async def test_a_frame_that_is_under_way_has_its_answer_before_the_end(gate):
    talk = Talk(gate)
    gate.engine.go.clear()
    going = asyncio.create_task(gate.talk([talk.open, talk.frame, lambda a: talk.wait(a)]))
    await asyncio.wait_for(talk.waits.wait(), 30)
    ending = asyncio.create_task(gate.conversations.drain())
    await asyncio.sleep(0)
    assert not ending.done()
    gate.engine.go.set()
    answers = await asyncio.wait_for(going, 30)
    await asyncio.wait_for(ending, 30)
    assert [m.WhichOneof("kind") for m in answers] == ["offer", "accepted", "answer"]
    assert gate.verdict(answers[-1]).outcome == "PASS"


async def test_a_camera_that_comes_now_is_sent_away_in_peace(gate):
    await gate.conversations.drain()
    talk = Talk(gate)
    answers = await asyncio.wait_for(gate.talk([talk.open, talk.frame]), 30)
    assert [m.WhichOneof("kind") for m in answers] == ["offer"] and not gate.leaves()


async def test_an_answer_that_does_not_come_holds_the_end_up_for_no_longer_than_it_may(
    gate, monkeypatch, caplog
):
    monkeypatch.setattr("framegate_gateway.ports.conversation.DRAIN_S", 0.05)
    talk = Talk(gate)
    gate.engine.go.clear()
    going = asyncio.create_task(gate.talk([talk.open, talk.frame, lambda a: talk.wait(a)]))
    await until(lambda: talk.waits.is_set())
    await asyncio.wait_for(gate.conversations.drain(), 30)
    assert "did not come" in caplog.text
    gate.engine.go.set()
    await asyncio.wait_for(going, 30)
