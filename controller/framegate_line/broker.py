"""The adapter on the MQTT broker: triggers and verdicts in, decisions out. The broker is believed
nothing: verdicts verify by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import paho.mqtt.client as mqtt

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.pilot.word import STAGES_TOPIC
from framegate.record.taken_reports import MAX_TAKEN_BYTES
from framegate.signed.report import TAKEN_TOPIC
from framegate_host.broker_certificate import watch_broker_end
from framegate_host.broker_client import BoundedClient, Broker, ClientLimits, HandOver
from framegate_host.broker_probe import AGAIN_S, require_bound_ids
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
MAX_TRIGGER: Final = 4096
"""Four members of JSON."""
TAKEN_PREFIX: Final = TAKEN_TOPIC.partition("{")[0]
STAGES_PREFIX: Final = STAGES_TOPIC.partition("{")[0]
LIMITS: Final = ClientLimits(packet=MAX_TAKEN_BYTES + 4096, unacknowledged=256, waiting=1_000)
"""Triggers on their way into the ledger; decisions and notices on theirs, which are late by then.
"""
HANDED_OVER: Final = 256
PATIENCE_S: Final = 2.0
"""Less than half of what the broker waits for a sign of life, 1.5 times KEEPALIVE_S."""


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
        taken: Callable[[bytes], None] | None = None,
    ) -> None:
        self._rules, self._broker, self._verdict = rules, Broker.parse(address), verdict
        self.problem = ""
        self._triggers_topic = f"framegate/v1/lines/{rules.line}/triggers" if triggers else ""
        self.stage: Callable[[bytes], None] | None = None
        """Told of the zone's stage, where it is set before `start`."""
        self._taken, self._taken_topic = taken, TAKEN_TOPIC.format(gateway="+", line=rules.line)
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[bytes, int, int]] = asyncio.Queue(WAITING)
        self._hand_over = HandOver(self._loop, HANDED_OVER, PATIENCE_S)
        self._context = credentials.context(server_name)
        self._client = BoundedClient(f"line.{rules.line}", self._context, LIMITS, manual_ack=True)
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = lambda client, *_: self._connected(client)
        self._client.on_disconnect = lambda _c, _u, _f, code, _p: self._lost(str(code))
        self._client.on_message = lambda client, _u, message: self._message(client, message)

    async def start(self) -> None:
        """Connect, once a broker is there; again whenever the connection is lost.

        Raises Refused (BROKER) where another name may take this adapter's id over.
        """
        while True:
            try:
                await asyncio.to_thread(
                    require_bound_ids, self._broker, self._context, session_s=SESSION_S
                )
                break
            except Unavailable as error:
                log.info("broker: %s", error)
                self.problem = error.failures[0].actual
                await asyncio.sleep(AGAIN_S)
        self._client.connect_async(
            self._broker.host,
            self._broker.port,
            KEEPALIVE_S,
            clean_start=False,
            properties=self._client.properties(SESSION_S),
        )
        self._client.loop_start()

    async def watch_certificate(self, told: Callable[[Reason, str], None]) -> None:
        """Forever: see when the broker's certificate ends, and say so in time."""
        name = self._context.server_name
        await watch_broker_end(self._broker, name, lambda: self._context, told)

    @property
    def connected(self) -> bool:
        """Whether the broker answers now; `problem` says why not, once it was tried."""
        return bool(self._client.is_connected())

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

    def _lost(self, problem: str) -> None:
        """In the client's thread."""
        self.problem = f"the connection ended: {problem}"

    def _connected(self, client: mqtt.Client) -> None:
        for camera in self._rules.cameras:
            client.subscribe(f"framegate/v1/verdicts/+/{camera}", qos=1)
        if self._triggers_topic:
            client.subscribe(self._triggers_topic, qos=1)
        if self._taken is not None:
            client.subscribe(self._taken_topic, qos=1)
        if self.stage is not None:
            client.subscribe(STAGES_TOPIC.format(gateway="+"), qos=1)

    def _message(self, client: mqtt.Client, message: Any) -> None:
        """In the client's thread. A retained message is nobody's word of now (N114)."""
        triggers = message.topic == self._triggers_topic
        taken = self._taken is not None and message.topic.startswith(TAKEN_PREFIX)
        most = MAX_TAKEN_BYTES if taken else MAX_TRIGGER if triggers else MAX_PAYLOAD
        if message.retain or len(message.payload) > most:
            client.ack(message.mid, message.qos)
            log.warning("a retained or oversized message on %s is not read", ascii(message.topic))
            return
        if triggers:  # not acknowledged before it is in the ledger
            self._hand_over(self._enter, bytes(message.payload), message.mid, message.qos)
            return
        client.ack(message.mid, message.qos)
        if taken and self._taken is not None:
            self._hand_over(self._taken, bytes(message.payload))
            return
        if self.stage is not None and message.topic.startswith(STAGES_PREFIX):
            self._hand_over(self.stage, bytes(message.payload))
            return
        if not self._hand_over(self._verdict, bytes(message.payload)):
            log.warning("a verdict that nobody had time for in %g s is lost", PATIENCE_S)

    def _enter(self, payload: bytes, mid: int, qos: int) -> None:
        if not self._queue.full():  # not acknowledged otherwise: the broker sends it again
            self._queue.put_nowait((payload, mid, qos))
