"""The adapter on the MQTT broker: triggers and verdicts in, decisions out. The broker is believed
nothing: verdicts verify by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate_line.credentials import Credentials
from framegate_line.rules import Rules, Trigger
from framegate_line.triggers import parse_trigger

log = logging.getLogger(__name__)
KEEPALIVE_S: Final = 5
SESSION_S: Final = 3600
"""How long the broker keeps triggers for an adapter that is away: they come late, but each part is
accounted for.
"""
WAITING: Final = 10_000
"""Triggers that wait to be entered; past that the broker keeps them."""
MAX_PAYLOAD: Final = 64 * 1024
"""A verdict with a hundred defects is some ten kilobytes."""


class LineBroker:
    """One client. It is a `PartSource`; `publish` serves `MqttOutput`; verdicts go to `verdict`, in
    the event loop.
    """

    def __init__(
        self,
        rules: Rules,
        credentials: Credentials,
        address: str,
        server_name: str,
        verdict: Callable[[bytes], None],
        *,
        triggers: bool = True,
    ) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise Refused.of(Reason.USAGE, "a broker as host:port", ascii(address[:80]))
        self._rules, self._host, self._port, self._verdict = rules, host, int(port), verdict
        self._triggers_topic = f"framegate/v1/lines/{rules.line}/triggers" if triggers else ""
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[bytes, int, int]] = asyncio.Queue(WAITING)
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"line-{rules.line}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        self._client.tls_set_context(credentials.context(server_name))
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = lambda client, *_: self._connected(client)
        self._client.on_message = lambda client, _u, message: self._message(client, message)

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        self._client.connect_async(
            self._host, self._port, KEEPALIVE_S, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker. Raises Unavailable where it is away: a decision that waits
        in a queue would come too late.
        """
        if not self._client.is_connected():
            raise Unavailable.of(
                Reason.LINE_OUTPUT, "the broker", "no connection", "is it running?"
            )
        self._client.publish(topic, payload, qos=1, retain=False)

    async def triggers(self) -> AsyncIterator[tuple[Trigger, Callable[[], None]]]:
        """Triggers; the broker forgets one only once it is in the ledger."""
        while True:
            payload, mid, qos = await self._queue.get()
            try:
                trigger = parse_trigger(payload)
            except FramegateError as error:
                log.warning("trigger refused: %s", ascii(str(error)))
                self._client.ack(mid, qos)
                continue
            yield trigger, lambda mid=mid, qos=qos: self._client.ack(mid, qos)  # type: ignore[misc]

    def _connected(self, client: mqtt.Client) -> None:
        for camera in self._rules.cameras:
            client.subscribe(f"framegate/v1/verdicts/+/{camera}", qos=1)
        if self._triggers_topic:
            client.subscribe(self._triggers_topic, qos=1)

    def _message(self, client: mqtt.Client, message: Any) -> None:
        """In the client's thread. A retained message is nobody's word of now (N114)."""
        if message.topic == self._triggers_topic and not message.retain:
            self._loop.call_soon_threadsafe(
                self._enter, bytes(message.payload), message.mid, message.qos
            )
            return
        client.ack(message.mid, message.qos)
        if message.retain or len(message.payload) > MAX_PAYLOAD:
            log.warning("a retained or oversized message on %s is not read", ascii(message.topic))
            return
        self._loop.call_soon_threadsafe(self._verdict, bytes(message.payload))

    def _enter(self, payload: bytes, mid: int, qos: int) -> None:
        if not self._queue.full():  # not acknowledged otherwise: the broker sends it again
            self._queue.put_nowait((payload, mid, qos))
