"""What carries a camera's messages to a gateway: a gRPC stream, or topics of an MQTT broker. The
messages are the same; neither is trusted with a pixel.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
from cryptography import x509

from framegate.identity.names import split_device_id
from framegate.signed.statement import Grant
from framegate_agent.channel import with_tpm_key
from framegate_agent.signing import KeyInTpm
from framegate_proto.edge import answered
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

UNREACHED: Final = "does the gateway run, and is its port open from here? framegate gateway status"


class Carrier(Protocol):
    """A conversation with one gateway."""

    async def read(self) -> pb.GatewayMessage | None:
        """The next message; None at the end. Raises Unavailable where the way is gone."""

    async def write(self, message: pb.CameraMessage) -> None:
        """Send a message. Raises Unavailable where the way is gone."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """An MQTT broker: `host:port`, and the name in its certificate."""

    address: str
    server_name: str


class BrokerWay(Protocol):
    """The way over an MQTT broker (`camera.mqtt`); a camera that streams does not load it."""

    def to(
        self, grant: Grant, certificate: x509.Certificate
    ) -> AbstractAsyncContextManager[Carrier]:
        """A conversation with the granted gateway over the broker."""


class _GrpcCarrier:
    def __init__(self, call: Any) -> None:
        self._call = call
        # a call takes one message at a time; the heads of ended sessions go beside frames
        self._writing = asyncio.Lock()

    async def read(self) -> pb.GatewayMessage | None:
        message = await answered(self._call.read(), UNREACHED)
        return None if message is grpc.aio.EOF else message

    async def write(self, message: pb.CameraMessage) -> None:
        async with self._writing:
            await answered(self._call.write(message), UNREACHED)


@asynccontextmanager
async def over_grpc(
    grant: Grant,
    key: KeyInTpm,
    certificate: x509.Certificate,
    authorities: tuple[x509.Certificate, ...],
    now_s: Callable[[], float],
) -> AsyncIterator[Carrier]:
    """A stream to the granted gateway, over TLS with the key in the TPM."""
    _, zone, name = split_device_id(grant.host)
    channel = with_tpm_key(
        grant.address,
        f"{name}.{zone}.gateway.framegate",
        authorities,
        key,
        (certificate, *authorities),
        now_s,
    )
    async with channel:
        call: Any = rpc.FramesStub(channel).Stream()
        try:
            yield _GrpcCarrier(call)
        finally:
            call.cancel()
