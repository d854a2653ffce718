"""The controller's trust feed as gateways and enforcers of segments read it."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import grpc

from framegate_proto.edge import answered
from framegate_proto.v1 import framegate_pb2 as pb

SILENCE_S: Final = 3.0
"""Three missed heartbeats."""


class Follower(Protocol):
    """Who takes the feed's updates."""

    @property
    def seen_log(self) -> pb.SeenLog:
        """Where the controller's record was seen last: what it has to go on from."""

    def apply(self, update: pb.TrustUpdate) -> object:
        """One update. Raises FramegateError where it is not believed."""


async def read_trust_feed(stub: Any, follower: Follower) -> None:
    """Give `follower` each update until the controller ends the feed. Raises TimeoutError after
    `SILENCE_S` without one, FramegateError where there is no controller or `follower` refuses.
    """
    call = stub.TrustFeed(pb.TrustFeedRequest(seen=follower.seen_log))
    while (
        update := await asyncio.wait_for(
            answered(call.read(), "is the controller running?"), SILENCE_S
        )
    ) is not grpc.aio.EOF:
        follower.apply(update)
