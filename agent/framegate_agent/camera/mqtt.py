"""A camera's conversations over an MQTT broker: the same messages as over a stream, on topics of
this camera and its gateway.

A broker knows a camera by the name in its certificate and keeps one connection of each name: the
conversations of all its sources share it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.message import DecodeError

from framegate.errors import Malformed, Reason, Unavailable
from framegate.identity.certificates import load_certificate
from framegate.signed.statement import Grant
from framegate_agent.camera.carrier import BrokerAddress, Carrier
from framegate_host.broker_client import BoundedClient, Broker, ClientLimits, HandOver
from framegate_host.broker_probe import require_bound_ids
from framegate_host.broker_tls import broker_context
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
CONNECT_TIMEOUT_S: Final = 5.0
KEEPALIVE_S: Final = 5
WAITING: Final = 256
"""Answers of a gateway that wait to be read; a gateway gives one for each frame, so more is a
fault.
"""
LIMITS: Final = ClientLimits(packet=256 * 1024, unacknowledged=WAITING, waiting=WAITING)
"""A verdict with a hundred defects is some ten kilobytes; a conversation has 64 frames on the way.
"""
HANDED_OVER: Final = 64
PATIENCE_S: Final = 2.0
"""Less than half of what the broker waits for a sign of life, 1.5 times KEEPALIVE_S."""


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
        self._turn = asyncio.Lock()
        self._connection: _Connection | None = None

    @asynccontextmanager
    async def to(self, grant: Grant, certificate: x509.Certificate) -> AsyncIterator[Carrier]:
        """A conversation with the granted gateway over the broker. Raises Unavailable where the
        broker does not take us, Refused (BROKER) where it would take anybody for us.
        """
        async with self._turn:
            connection = await self._connected()
            carrier = _MqttCarrier(connection, self._camera, grant.host)
            connection.carriers[carrier.back] = carrier
        try:
            await connection.subscribe(carrier.back)
            await carrier.write(pb.CameraMessage(hello=certificate.public_bytes(Encoding.DER)))
            yield carrier
        finally:
            carrier.end()
            async with self._turn:
                del connection.carriers[carrier.back]
                if not connection.carriers:
                    await connection.close()

    async def _connected(self) -> _Connection:
        """The connection that stands, or a new one, with a certificate of this moment."""
        if self._connection is not None and self._connection.stands:
            return self._connection
        if self._connection is not None:  # whoever still uses it comes back for the new one
            await self._connection.close()
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )
        leaf, issuer = map(load_certificate, await self._certify(csr))
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem += leaf.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)
        context = broker_context(self._broker.server_name, self._server_ca(), pem)
        broker = Broker.parse(self._broker.address)
        await asyncio.to_thread(require_bound_ids, broker, context)
        client = BoundedClient(self._camera, context, LIMITS, reconnect_on_failure=False)
        life_s = (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds()
        self._connection = _Connection(client, time.monotonic() + life_s)
        await self._connection.connect(broker)
        return self._connection


class _Connection:
    """A connection to the broker, for as long as the certificate it was made with."""

    def __init__(self, client: BoundedClient, ends_at_s: float) -> None:
        self.carriers: dict[str, _MqttCarrier] = {}
        self._client, self._ends_at_s, self._gone = client, ends_at_s, False
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._granted: dict[int, asyncio.Future[bool]] = {}
        self._hand_over = HandOver(self._loop, HANDED_OVER, PATIENCE_S)
        client.on_connect = lambda _c, _u, _f, code, _p: self._later(self._answered, code)
        client.on_subscribe = lambda _c, _u, mid, codes, _p: self._later(
            self._subscribed, mid, codes
        )
        client.on_message = lambda _c, _u, message: self._message(message)
        client.on_disconnect = lambda *_: self._later(self._lost)

    @property
    def stands(self) -> bool:
        """Whether it is there, and its certificate still counts."""
        return not self._gone and time.monotonic() < self._ends_at_s

    async def connect(self, broker: Broker) -> None:
        """Raises Unavailable."""
        client = self._client
        try:
            await asyncio.to_thread(
                client.connect,
                broker.host,
                broker.port,
                KEEPALIVE_S,
                properties=client.properties(),
            )
            client.loop_start()
            await asyncio.wait_for(asyncio.shield(self._ready), CONNECT_TIMEOUT_S)
        except (OSError, ValueError, TimeoutError) as error:
            await self.close()
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                f"the broker at {broker}",
                f"{type(error).__name__}: {error}",
                "is it running? --broker, --broker-name",
            ) from error

    async def subscribe(self, topic: str) -> None:
        """Raises Unavailable where the broker does not let us."""
        _, mid = self._client.subscribe(topic, qos=1)
        if mid is None:
            raise _lost()
        granted = self._granted[mid] = self._loop.create_future()
        try:
            if not await asyncio.wait_for(granted, CONNECT_TIMEOUT_S):
                wanted, seen = "to read answers at the broker", "it does not let this camera"
                hint = "make its access list anew: framegate broker acl"
                raise Unavailable.of(Reason.UNAVAILABLE, wanted, seen, hint)
        except TimeoutError as error:
            raise _lost() from error
        finally:
            self._granted.pop(mid, None)

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Raises Unavailable where the way is gone, or too much waits for it."""
        if self._gone:
            raise _lost()
        done = self._client.publish(topic, payload, qos=qos, retain=False)
        if done.rc != mqtt.MQTT_ERR_SUCCESS:
            raise _lost()

    async def close(self) -> None:
        """Disconnect; whoever still reads here hears that the way is gone."""
        self._lost()
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def _message(self, message: Any) -> None:
        """In the client's thread."""
        if not self._hand_over(self._arrived, message.topic, bytes(message.payload)):
            log.warning("broker: an answer that nobody had time for in %g s is lost", PATIENCE_S)

    def _later(self, work: Callable[..., None], *values: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work, *values)

    def _answered(self, code: Any) -> None:
        if self._ready.done():
            return
        if code.is_failure:
            self._ready.set_exception(ConnectionRefusedError(str(code)))
        else:
            self._ready.set_result(None)

    def _subscribed(self, mid: int, codes: list[Any]) -> None:
        granted = self._granted.get(mid)
        if granted is not None and not granted.done():
            granted.set_result(not any(code.is_failure for code in codes))

    def _arrived(self, topic: str, payload: bytes) -> None:
        carrier = self.carriers.get(topic)
        if carrier is not None:
            carrier.arrived(payload)

    def _lost(self) -> None:
        self._gone = True
        for carrier in self.carriers.values():
            carrier.lost()


class _MqttCarrier:
    """One conversation: two topics, and what came on one of them."""

    def __init__(self, connection: _Connection, camera: str, gateway: str) -> None:
        link = secrets.token_hex(8)
        self._connection, self._gone = connection, False
        self._out = f"framegate/v1/frames/{camera}/{gateway}/{link}"
        self.back = f"framegate/v1/answers/{gateway}/{camera}/{link}"
        self._messages: asyncio.Queue[pb.GatewayMessage | None] = asyncio.Queue(WAITING)

    async def read(self) -> pb.GatewayMessage | None:
        """See `Carrier`."""
        if self._gone and self._messages.empty():
            raise _lost()
        message = await self._messages.get()
        if message is None:
            raise _lost()
        return message

    async def write(self, message: pb.CameraMessage) -> None:
        """See `Carrier`."""
        if self._gone:
            raise _lost()
        self._connection.publish(self._out, message.SerializeToString())

    def end(self) -> None:
        """Tell the gateway, as far as the way is there: an empty message ends a conversation."""
        if not self._gone:
            self._gone = True
            try:
                self._connection.publish(self._out, b"", qos=0)
            except Unavailable as error:
                log.info("broker: %s", error)

    def arrived(self, payload: bytes) -> None:
        """A message of the gateway; what is none, and one too many, ends the conversation."""
        try:
            self._messages.put_nowait(pb.GatewayMessage.FromString(payload))
        except (DecodeError, asyncio.QueueFull) as error:
            log.warning(
                "broker: %s",
                Malformed.of(Reason.MALFORMED, "a gateway's message", type(error).__name__),
            )
            self.lost()

    def lost(self) -> None:
        """The way is gone: whoever reads hears of it."""
        if self._gone:
            return
        self._gone = True
        while self._messages.full():
            self._messages.get_nowait()
        self._messages.put_nowait(None)


def _lost() -> Unavailable:
    return Unavailable.of(
        Reason.UNAVAILABLE, "the broker", "the connection was lost", "is it running?"
    )
