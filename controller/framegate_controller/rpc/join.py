"""The join port: enrol and rejoin, before a machine has a certificate."""

from __future__ import annotations

import asyncio

from framegate_controller.fleet.attestation import Verifier
from framegate_controller.rpc.hub import Hub
from framegate_controller.rpc.peer import address_of
from framegate_controller.rpc.wire import Context, guarded, to_reply
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc


class JoinService(rpc.JoinServicer):
    """`Begin` answers a Hello with a signed challenge, `Complete` a proof with a certificate or all reasons."""

    def __init__(self, verifier: Verifier, hub: Hub) -> None:
        self._verifier, self._hub = verifier, hub

    @guarded
    async def Begin(self, request: pb.BeginRequest, context: Context) -> pb.ChallengeReply:
        """See `Verifier.begin_join`."""
        made = await asyncio.to_thread(self._verifier.begin_join, request.hello, address_of(context))
        return pb.ChallengeReply(challenge=made.challenge, signature=made.signature, certificate=made.certificate)

    @guarded
    async def Complete(self, request: pb.CompleteRequest, context: Context) -> pb.AttestationReply:
        """See `Verifier.complete_join`."""
        answer = await asyncio.to_thread(self._verifier.complete_join, request.session, request.mac, request.proof)
        await self._hub.changed(answer.device)
        timing = self._verifier.timing
        return to_reply(answer, self._verifier.keys.authorities, timing.result_life_ms, timing.interval_ms)
