"""A camera's conversation over an MQTT broker: the same messages as over a stream, on topics of
this camera and its gateway.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.message import DecodeError
from paho.mqtt.enums import CallbackAPIVersion

from framegate.errors import Malformed, Reason, Unavailable
from framegate.signed.statement import Grant
from framegate_agent.camera.carrier import BrokerAddress, Carrier
from framegate_host.broker_tls import broker_context
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
CONNECT_TIMEOUT_S: Final = 5.0
KEEPALIVE_S: Final = 5
WAITING: Final = 256
"""Answers of a gateway that wait to be read; a gateway gives one for each frame, so more is a
fault.
"""


class BrokerClient:
    """This camera on the broker: a key in memory, whose certificate names the camera there and does
    nothing else.

    `certify` gets a certificate request and returns (certificate, issuer) in DER. MQTT libraries
    cannot use a TPM key; what a frame is worth rests on the opening, which the TPM signs, not on
    this.
    """

    def __init__(
        self,
        broker: BrokerAddress,
        camera: str,
        server_ca: Callable[[], bytes],
        certify: Callable[[bytes], Awaitable[tuple[bytes, bytes]]],
    ) -> None:
        self._broker, self._camera, self._server_ca, self._certify = (
            broker,
            camera,
            server_ca,
            certify,
        )
        self._key = ec.generate_private_key(ec.SECP256R1())

    @asynccontextmanager
    async def to(self, grant: Grant, certificate: x509.Certificate) -> AsyncIterator[Carrier]:
        """A conversation with the granted gateway over the broker. Raises Unavailable where the
        broker does not take us.
        """
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )
        leaf, issuer = await self._certify(csr)
        carrier = _MqttCarrier(self._camera, grant.host)
        await carrier.connect(self._broker, self._context(leaf, issuer))
        try:
            await carrier.write(pb.CameraMessage(hello=certificate.public_bytes(Encoding.DER)))
            yield carrier
        finally:
            await carrier.close()

    def _context(self, leaf: bytes, issuer: bytes) -> ssl.SSLContext:
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem += b"".join(
            x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in (leaf, issuer)
        )
        return broker_context(self._broker.server_name, self._server_ca(), pem)


class _MqttCarrier:
    def __init__(self, camera: str, gateway: str) -> None:
        link = secrets.token_hex(8)
        self._out, self._back = (
            f"framegate/v1/frames/{camera}/{gateway}/{link}",
            f"framegate/v1/answers/{gateway}/{camera}/{link}",
        )
        self._loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[pb.GatewayMessage | None] = asyncio.Queue(WAITING)
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone = False
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{camera}-{link}",
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.on_connect = lambda client, *_: client.subscribe(self._back, qos=1)
        self._client.on_subscribe = lambda *_: self._later(self._subscribed)
        self._client.on_message = lambda _c, _u, message: self._later(
            self._arrived, bytes(message.payload)
        )
        self._client.on_disconnect = lambda *_: self._later(self._lost)

    async def connect(self, broker: BrokerAddress, context: ssl.SSLContext) -> None:
        host, _, port = broker.address.rpartition(":")
        self._client.tls_set_context(context)
        try:
            await asyncio.wait_for(
                asyncio.to_thread(self._client.connect, host, int(port), KEEPALIVE_S),
                CONNECT_TIMEOUT_S,
            )
            self._client.loop_start()
            await asyncio.wait_for(asyncio.shield(self._ready), CONNECT_TIMEOUT_S)
        except (OSError, ValueError, TimeoutError) as error:
            await self.close()
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                f"the broker at {broker.address}",
                f"{type(error).__name__}: {error}",
                "is it running? --broker, --broker-name",
            ) from error

    async def read(self) -> pb.GatewayMessage | None:
        if self._gone and self._messages.empty():
            raise Unavailable.of(
                Reason.UNAVAILABLE, "the broker", "the connection was lost", "is it running?"
            )
        message = await self._messages.get()
        if message is None:
            raise Unavailable.of(
                Reason.UNAVAILABLE, "the broker", "the connection was lost", "is it running?"
            )
        return message

    async def write(self, message: pb.CameraMessage) -> None:
        if self._gone:
            raise Unavailable.of(
                Reason.UNAVAILABLE, "the broker", "the connection was lost", "is it running?"
            )
        self._client.publish(self._out, message.SerializeToString(), qos=1, retain=False)

    async def close(self) -> None:
        if not self._gone:
            self._client.publish(self._out, b"", qos=0)  # an empty message ends the conversation
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def _later(self, work: Callable[..., None], *values: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work, *values)

    def _subscribed(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _arrived(self, payload: bytes) -> None:
        try:
            self._messages.put_nowait(pb.GatewayMessage.FromString(payload))
        except (DecodeError, asyncio.QueueFull) as error:
            log.warning(
                "broker: %s",
                Malformed.of(Reason.MALFORMED, "a gateway's message", type(error).__name__),
            )
            self._lost()

    def _lost(self) -> None:
        self._gone = True
        while self._messages.full():
            self._messages.get_nowait()
        self._messages.put_nowait(None)
