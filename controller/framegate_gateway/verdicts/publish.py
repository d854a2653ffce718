"""This gateway on an MQTT broker: signed verdicts out, QoS 1, never retained; and, where cameras
send that way, sealed frames in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from framegate.errors import Reason, Unavailable
from framegate.signed.statement import Verdict
from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_host.broker_tls import broker_context

log = logging.getLogger(__name__)
QUEUED: Final = 10_000
"""Verdicts that wait while the broker is away; they expire within a minute anyway."""
KEEPALIVE_S: Final = 10


def topic_of(verdict: Verdict) -> str:
    """framegate/v1/verdicts/<gateway>/<device>: the broker lets nobody but that gateway write
    there.
    """
    return f"framegate/v1/verdicts/{verdict.gateway}/{verdict.device}"


class Publisher:
    """One MQTT client, made anew when its certificate has been renewed and the connection is
    gone.
    """

    def __init__(self, address: str, server_name: str, keys: GatewayKeys) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise Unavailable.of(Reason.USAGE, "a broker as host:port", address)
        self._host, self._port, self._server_name, self._keys = host, int(port), server_name, keys
        self._client: mqtt.Client | None = None
        self._arrived: Callable[[str, bytes], None] | None = None

    def receive(self, arrived: Callable[[str, bytes], None]) -> None:
        """Call `arrived` with topic and payload of every sealed frame message for this gateway, in
        the client's thread.
        """
        self._arrived = arrived

    def renewed(self, credentials: Credentials | None) -> None:
        """The gateway has new credentials: use them for the next connection."""
        if credentials is None or (self._client is not None and self._client.is_connected()):
            return
        self.stop()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=credentials.device, protocol=mqtt.MQTTv5
        )
        client.max_queued_messages_set(QUEUED)
        key, chain = self._keys.chain_pem()
        client.tls_set_context(
            broker_context(self._server_name, credentials.authority("server-ca"), key + chain)
        )
        client.on_connect_fail = lambda *_: log.info("broker does not answer")
        client.on_connect = lambda c, *_: self._connected(c, credentials.device)
        client.on_message = lambda _c, _u, message: self._message(message)
        try:
            client.connect_async(self._host, self._port, KEEPALIVE_S)
            client.loop_start()
        except (OSError, ValueError) as error:
            log.warning("broker: %s", error)
            return
        self._client = client

    def publish(self, verdict: Verdict, envelope: bytes) -> None:
        """Hand `envelope` to the broker's queue; never blocks and never fails a frame."""
        self.send(topic_of(verdict), envelope)

    def send(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker's queue."""
        if self._client is not None:
            self._client.publish(topic, payload, qos=1, retain=False)

    def stop(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _connected(self, client: mqtt.Client, device: str) -> None:
        if self._arrived is not None:
            client.subscribe(f"framegate/v1/frames/+/{device}/+", qos=1)

    def _message(self, message: Any) -> None:
        if self._arrived is not None and not message.retain:
            self._arrived(message.topic, bytes(message.payload))
