"""This gateway on an MQTT broker: signed verdicts out, QoS 1, never retained; what lines say of
themselves in and, where cameras send that way, sealed frames.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import topic_matches_sub

from framegate.errors import Reason, Refused, Unavailable
from framegate.signed.statement import Verdict
from framegate.wire import MAX_FRAME_BYTES
from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_host.broker_certificate import watch_broker_end
from framegate_host.broker_client import BoundedClient, Broker, ClientLimits
from framegate_host.broker_probe import AGAIN_S, REFUSED_AGAIN_S, require_bound_ids
from framegate_host.broker_tls import broker_context, named_context
from framegate_host.repeated import Repeated, more_of

log = logging.getLogger(__name__)
LIMITS: Final = ClientLimits(packet=MAX_FRAME_BYTES + 64 * 1024, unacknowledged=64, waiting=10_000)
"""A sealed frame with its heads; as many as one camera may have on the way. Verdicts that wait
while the broker is away expire within a minute anyway.
"""
KEEPALIVE_S: Final = 10


def topic_of(verdict: Verdict) -> str:
    """framegate/v1/verdicts/<gateway>/<device>: the broker lets nobody but that gateway write
    there.
    """
    return f"framegate/v1/verdicts/{verdict.gateway}/{verdict.device}"


class Publisher:
    """One MQTT client, made anew when its certificate has been renewed and the connection is gone.

    A broker that lets another name take this one's id over is not used: verdicts then reach nobody
    there, and parts divert.
    """

    def __init__(self, address: str, server_name: str, keys: GatewayKeys) -> None:
        self._broker, self._server_name, self._keys = Broker.parse(address), server_name, keys
        self._client: BoundedClient | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._device = ""
        self._said = Repeated()
        self._heard: dict[str, Callable[[str, bytes], None]] = {}
        self.trouble: Callable[[Reason, str], None] = lambda _reason, _said: None
        """Told when the broker goes away, or is not one to use; in the client's thread, too."""

    async def watch_certificate(self) -> None:
        """Forever: see when the broker's certificate ends, and say so in time."""
        name = self._server_name

        def trusting() -> ssl.SSLContext | None:
            credentials = self._keys.credentials
            if credentials is None:
                return None
            context = named_context(name)
            context.load_verify_locations(cadata=credentials.authority("server-ca").decode())
            return context

        await watch_broker_end(self._broker, name, trusting, self.trouble)

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        return self._client is not None and self._client.is_connected()

    def hear(self, topic: str, arrived: Callable[[str, bytes], None]) -> None:
        """Call `arrived` with topic and payload of every message on `topic`, in the client's
        thread; `{device}` in it stands for this gateway. From the next connection on.
        """
        self._heard[topic] = arrived

    def renewed(self, credentials: Credentials | None) -> None:
        """The gateway has new credentials: use them for the next connection. In the event loop."""
        if credentials is None or (self._client is not None and self._client.is_connected()):
            return
        self.stop()
        key, chain = self._keys.chain_pem()
        context = broker_context(self._server_name, credentials.authority("server-ca"), key + chain)
        client = BoundedClient(credentials.device, context, LIMITS)
        client.on_connect_fail = lambda *_: log.info("broker does not answer")
        client.on_connect = lambda c, *_: self._connected(c, credentials.device)
        client.on_disconnect = lambda c, _u, _f, code, _p: self._lost(c, str(code))
        client.on_message = lambda _c, _u, message: self._message(message)
        self._client = client  # verdicts wait in it until the broker is there
        self._connecting = asyncio.get_running_loop().create_task(self._connect(client, context))

    def publish(self, verdict: Verdict, envelope: bytes) -> None:
        """Hand `envelope` to the broker's queue; never blocks and never fails a frame."""
        self.send(topic_of(verdict), envelope)

    def send(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker's queue."""
        if self._client is not None:
            self._client.publish(topic, payload, qos=1, retain=False)

    def stop(self) -> None:
        """Disconnect."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._client is not None:
            client, self._client = self._client, None
            client.disconnect()
            client.loop_stop()

    async def _connect(self, client: BoundedClient, context: Any) -> None:
        """Look whether the broker is one to use until it is, then connect, and again whenever the
        connection is lost.
        """
        while True:
            try:
                await asyncio.to_thread(require_bound_ids, self._broker, context)
                break
            except Unavailable as error:
                left_out = self._said.left_out(str(error))
                if left_out is not None:
                    log.warning("broker: %s%s", error, more_of(left_out))
                self.trouble(error.reason, str(error))
                await asyncio.sleep(AGAIN_S)
            except Refused as error:
                log.error("broker, not used: %s", error)
                self.trouble(error.reason, str(error))
                await asyncio.sleep(REFUSED_AGAIN_S)
        client.connect_async(
            self._broker.host, self._broker.port, KEEPALIVE_S, properties=client.properties()
        )
        client.loop_start()

    def _connected(self, client: BoundedClient, device: str) -> None:
        self._device = device
        for topic in self._heard:
            client.subscribe(topic.format(device=device), qos=1)

    def _lost(self, client: BoundedClient, why: str) -> None:
        if client is self._client:  # else it was ended here
            self.trouble(Reason.UNAVAILABLE, f"the connection ended: {why}")

    def _message(self, message: Any) -> None:
        if message.retain:
            return
        for topic, arrived in self._heard.items():
            if topic_matches_sub(topic.format(device=self._device), message.topic):
                arrived(message.topic, bytes(message.payload))
