"""A fleet port of whoever has a challenge key: asks a machine for evidence at any time it likes."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc

from framegate.tpm.constants import Alg
from framegate.wire import LABEL_CHALLENGE, Challenge, sha256
from framegate_controller.ca.keys import SigningKey
from framegate_proto.v1 import framegate_pb2 as pb

_FLEET: Final = pb.DESCRIPTOR.services_by_name["Fleet"].full_name


class ChallengeDesk:
    """Signs challenges with `key`, in which it is `ahead_ms` later than it is, and believes what is
    answered. `answered` counts pieces of evidence.
    """

    def __init__(self, key: SigningKey) -> None:
        self._key, self.ahead_ms, self.answered = key, 0, 0

    async def _begin(self, request: pb.BeginRequest, _context: Any) -> pb.ChallengeReply:
        raw = Challenge(
            hello_sha256=sha256(request.hello),
            session=secrets.token_bytes(16),
            nonce=secrets.token_bytes(32),
            credential=b"",
            encrypted_secret=b"",
            bank=Alg.SHA256,
            pcrs=(0,),
            ima_offset=0,
            want_boot_log=0,
            controller="desk",
            issued_at_ms=time.time_ns() // 1_000_000 + self.ahead_ms,
            deadline_ms=60_000,
            attest_interval_ms=60_000,
        ).marshal()
        signature = self._key.sign(LABEL_CHALLENGE + raw)
        return pb.ChallengeReply(challenge=raw, signature=signature, certificate=self._key.der)

    async def _complete(
        self, parts: AsyncIterator[pb.EvidencePart], _context: Any
    ) -> pb.AttestationReply:
        async for _ in parts:
            pass
        self.answered += 1
        return pb.AttestationReply(device="camera.line-1.cam1", zone="line-1", state="trusted")

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to it, as an agent has one to its controller."""
        server = grpc.aio.server()
        answers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Begin": grpc.unary_unary_rpc_method_handler(
                self._begin,
                pb.BeginRequest.FromString,
                pb.ChallengeReply.SerializeToString,
            ),
            "Complete": grpc.stream_unary_rpc_method_handler(
                self._complete,
                pb.EvidencePart.FromString,
                pb.AttestationReply.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_FLEET, answers)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
                yield opened
        finally:
            await server.stop(0)
