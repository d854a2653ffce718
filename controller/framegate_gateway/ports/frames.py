"""Frames over gRPC: the TLS connection says whose they are."""

from __future__ import annotations

from typing import Any

import grpc

from framegate_gateway.admission.link import CameraLink
from framegate_gateway.ports.conversation import Conversations
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_proto.edge import presented_certificate
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

Context = grpc.aio.ServicerContext[Any, Any]


class FramesService(rpc.FramesServicer):
    """The port for cameras."""

    def __init__(self, keys: GatewayKeys, view: TrustView, conversations: Conversations) -> None:
        self._keys, self._view, self._conversations = keys, view, conversations

    async def Stream(  # type: ignore[override]
        self, request_iterator: Any, context: Context
    ) -> None:
        """One camera's stream, until it ends or its opening is refused."""

        async def read() -> pb.CameraMessage | None:
            try:
                message = await context.read()
            except grpc.RpcError as error:
                raise ConnectionError("the stream broke off") from error
            return None if message is grpc.aio.EOF else message

        await self._conversations.converse(
            lambda: CameraLink(presented_certificate(context), self._keys, self._view),
            read,
            context.write,
        )
