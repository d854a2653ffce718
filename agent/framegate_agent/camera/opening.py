"""How a stream reaches a granted gateway and opens a frame session there."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Final

from cryptography import x509

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.identity.certificates import spki_of
from framegate_agent.camera.carrier import Carrier, over_grpc
from framegate_agent.camera.identity import Identity
from framegate_agent.camera.session import FrameSession, HeldGrant
from framegate_proto.edge import from_failures
from framegate_proto.v1 import framegate_pb2 as pb

OPEN_TIMEOUT_S: Final = 10.0


def carrier_to(
    lease: HeldGrant, identity: Identity, certificate: x509.Certificate
) -> AbstractAsyncContextManager[Carrier]:
    """A conversation with the granted gateway: over the broker where there is one, else a gRPC
    stream.
    """
    if identity.broker is not None:
        return identity.broker.to(lease.grant, certificate)
    return over_grpc(
        lease.grant,
        identity.key,
        certificate,
        identity.state.authority_certificates,
        identity.clock.now_s,
    )


async def open_session(
    carrier: Carrier,
    message: pb.GatewayMessage | None,
    lease: HeldGrant,
    identity: Identity,
    source: str,
) -> FrameSession:
    """Answer the gateway's offer, which `message` is to be. Raises what the gateway refused, or
    Unavailable.
    """
    if message is None or message.WhichOneof("kind") != "offer":
        raise refusal(message)
    state = identity.state
    certificate = state.own_certificate
    if certificate is None:
        raise Unavailable.of(Reason.CERTIFICATE, "a certificate of this machine", "none")
    session = FrameSession(
        lease,
        message.offer,
        source,
        state.device,
        spki_of(certificate.public_key()),  # type: ignore[arg-type]
        identity.spool,
    )
    signed = await asyncio.to_thread(session.opening, identity.key)
    await carrier.write(pb.CameraMessage(opening=signed))
    return session


def refusal(message: pb.GatewayMessage | None) -> FramegateError:
    """What a message other than the one awaited means."""
    if message is not None and message.WhichOneof("kind") == "refusal":
        return Refused(from_failures(message.refusal.failures))
    return Unavailable.of(Reason.UNAVAILABLE, "an answer of the gateway", "the end of the stream")
