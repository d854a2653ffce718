"""The join port: enrol and rejoin, before a machine has a certificate."""

from __future__ import annotations

import asyncio

from framegate_controller.events.bus import Bus
from framegate_controller.events.notices import DeviceChanged
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.rpc.attestation import to_answer, to_challenge
from framegate_controller.rpc.peer import address_of
from framegate_controller.rpc.wire import Context, guarded, to_the_end
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc


class JoinService(rpc.JoinServicer):
    """`Begin` answers a Hello with a challenge, `Complete` evidence, with all reasons."""

    def __init__(self, verifier: Verifier, bus: Bus) -> None:
        self._verifier, self._bus = verifier, bus

    @guarded
    async def Begin(self, request: pb.BeginRequest, context: Context) -> pb.ChallengeReply:
        """See `Verifier.begin_join`."""
        return to_challenge(
            await asyncio.to_thread(self._verifier.begin_join, request.hello, address_of(context))
        )

    @guarded
    async def Complete(self, request: pb.CompleteRequest, context: Context) -> pb.AttestationReply:
        """See `Verifier.complete_join`."""
        return await to_the_end(self._complete(request))

    async def _complete(self, request: pb.CompleteRequest) -> pb.AttestationReply:
        answer = await asyncio.to_thread(
            self._verifier.complete_join, request.state, request.mac, request.evidence
        )
        await self._bus.publish((DeviceChanged(answer.device),))
        return to_answer(answer, self._verifier.fleet)
