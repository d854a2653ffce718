"""Enrol and rejoin, before a machine has a certificate: what the process at the join port passes
on.
"""

from __future__ import annotations

import asyncio

from framegate_controller.events.notices import DeviceChanged
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.joinport.messages import PassedEvidence
from framegate_controller.joinport.uploads import promise_of
from framegate_controller.rpc.attestation import to_answer, to_challenge
from framegate_controller.rpc.peer import address_of
from framegate_controller.rpc.wire import Context, Publisher, guarded, to_the_end
from framegate_proto.v1 import framegate_pb2 as pb


class JoinService:
    """`Begin` answers a Hello with a challenge; `Offer` says whether evidence may come, `Complete`
    what it led to, with all reasons.
    """

    def __init__(self, verifier: Verifier, bus: Publisher) -> None:
        self._verifier, self._bus = verifier, bus

    @guarded
    async def Begin(self, request: pb.BeginRequest, context: Context) -> pb.ChallengeReply:
        """See `Verifier.begin_join`."""
        return to_challenge(
            await asyncio.to_thread(self._verifier.begin_join, request.hello, address_of(context))
        )

    @guarded
    async def Offer(self, request: pb.EvidenceOffer, _context: Context) -> pb.EvidencePart:
        """See `Verifier.offer_join`; the answer says nothing more than that there is one."""
        promise = promise_of(request)
        await asyncio.to_thread(self._verifier.offer_join, request.state, request.mac, promise)
        return pb.EvidencePart()

    @guarded
    async def Complete(self, request: PassedEvidence, _context: Context) -> pb.AttestationReply:
        """See `Verifier.complete_join`."""
        return await to_the_end(self._complete(request))

    async def _complete(self, request: PassedEvidence) -> pb.AttestationReply:
        answer = await asyncio.to_thread(
            self._verifier.complete_join, request.state, request.mac, request.evidence
        )
        await self._bus.publish((DeviceChanged(answer.device),))
        return to_answer(answer, self._verifier.fleet)
