"""What carries a camera's messages takes one at a time, whoever sends."""

import asyncio

from framegate_agent.camera.carrier import _GrpcCarrier
from framegate_proto.v1 import framegate_pb2 as pb


class OneAtATime:
    """A call as gRPC has it: a second message before the first has gone is a fault."""

    def __init__(self) -> None:
        self.busy, self.sent = False, 0

    async def write(self, message: pb.CameraMessage) -> None:
        assert not self.busy, "too many operations"
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        self.sent += 1


def test_heads_and_frames_go_one_behind_another():
    call = OneAtATime()
    carrier = _GrpcCarrier(call)

    async def together() -> None:
        await asyncio.gather(*(carrier.write(pb.CameraMessage()) for _ in range(8)))

    asyncio.run(together())
    assert call.sent == 8
