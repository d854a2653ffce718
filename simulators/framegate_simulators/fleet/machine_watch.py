"""A machine's watch: what its controller says, as agents hear it."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc

from framegate_agent.controller_watch import beat_s, silence_s
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

EVERY_S: Final = beat_s(60_000)
"""How often it is to be heard of: what an agent asks for that attests each minute."""


class MachineWatch:
    """Open over one connection at a time. `silent` counts how often nothing was heard for so long
    that an agent gives a connection up.
    """

    def __init__(self) -> None:
        self.silent = 0
        self._task: asyncio.Task[None] | None = None

    def open(self, channel: grpc.aio.Channel) -> None:
        """Hear what the controller says, until it ends that or the connection does; nothing where
        that is done already.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._hear(channel))

    async def close(self) -> None:
        """Hear no more."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _hear(self, channel: grpc.aio.Channel) -> None:
        call = rpc.FleetStub(channel).Watch(pb.WatchRequest(beat_ms=round(1000 * EVERY_S)))
        patience_s = silence_s(EVERY_S)
        try:
            while (event := await asyncio.wait_for(call.read(), patience_s)) is not grpc.aio.EOF:
                # 0.1.0's messages, which a fleet of before speaks, have no such member
                patience_s = silence_s(EVERY_S, getattr(event, "beat_ms", 0))
        except TimeoutError:
            self.silent += 1
        except (grpc.aio.AioRpcError, grpc.aio.UsageError):
            """The controller ended it, or the connection did."""
