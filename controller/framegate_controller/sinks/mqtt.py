"""MQTT 5 with quality of service 1: the broker acknowledges each message, and says where nobody
subscribes to it.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from framegate_controller.sinks.credentials import Credentials, Host
from framegate_controller.sinks.delivery import Outgoing, SinkFailed, SinkRefused
from framegate_host.broker_client import CONNECT_S

PUBLISH_S: Final = 15.0
"""For a batch's acknowledgements."""
IDLE_S: Final = 30.0
"""A connection that said nothing for so long is begun anew: less than brokers wait for a sign of
life (90 s), and than what stands between forgets a connection in.
"""
MAX_FROM_BROKER: Final = 4096
"""Bytes of a packet from the broker: acknowledgements have some ten."""
_TOO_LARGE: Final = frozenset({0x95, 0x99})
_NOBODY: Final = 0x10


class MqttSink:
    """One connection to a broker. `token` is a password, of the user that is called as the client;
    a certificate in `client.pem` goes instead, or besides.

    No thread turns its loop: it turns while a batch is delivered, and a connection that was idle
    for long is begun anew, instead of being kept alive.
    """

    def __init__(self, name: str, address: str, topic: str, credentials: Credentials) -> None:
        self._name, self._host, self._topic = f"framegate-siem-{name}", Host.parse(address), topic
        self._credentials = credentials
        self._client: mqtt.Client | None = None
        self._codes: dict[int, int] = {}
        self._up, self._why = False, ""
        self._used_s = 0.0

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        client = self._connected()
        wanted = []
        for o in batch:
            info = client.publish(self._topic, o.body, qos=1)
            if info.rc != mqtt.MQTT_ERR_SUCCESS:
                self.close()
                raise SinkFailed(mqtt.error_string(info.rc))
            wanted.append(info.mid)
        codes = self._acknowledged(client, wanted)
        if any(c in _TOO_LARGE for c in codes):
            raise SinkRefused("the broker refuses the message's size or form")
        if _NOBODY in codes:
            raise SinkFailed(f"nobody subscribes to {self._topic}: the broker dropped it")
        bad = next((c for c in codes if c >= 0x80), None)
        if bad is not None:
            raise SinkFailed(f"the broker refused: reason code {bad:#04x}")

    def close(self) -> None:
        """See `SinkDriver.close`."""
        client, self._client, self._up = self._client, None, False
        if client is not None:
            client.disconnect()
            _close(client)

    def _acknowledged(self, client: mqtt.Client, wanted: Sequence[int]) -> list[int]:
        done = self._turn(client, lambda: all(m in self._codes for m in wanted), PUBLISH_S)
        codes = [self._codes.pop(m, -1) for m in wanted]
        if not done or -1 in codes:
            why = self._why
            self.close()
            raise SinkFailed(why or f"not acknowledged within {PUBLISH_S:g} s")
        self._used_s = time.monotonic()
        return codes

    def _turn(self, client: mqtt.Client, done: Callable[[], bool], seconds: float) -> bool:
        """Turn the client's loop until `done`, the connection's end, or for so long."""
        until = time.monotonic() + seconds
        while not done():
            at, left = client.socket(), until - time.monotonic()
            if at is None or self._why or left <= 0:
                return False
            waiting = at.pending() if isinstance(at, ssl.SSLSocket) else 0
            write = [at] if client.want_write() else []
            readable, writable, _ = select.select([at], write, [], 0 if waiting else min(left, 1))
            if readable or waiting:
                client.loop_read()
            if writable:
                client.loop_write()
            client.loop_misc()
        return True

    def _connected(self) -> mqtt.Client:
        idle = time.monotonic() - self._used_s > IDLE_S
        if self._client is not None and self._up and not idle:
            return self._client
        self.close()
        self._codes.clear()
        self._why = ""
        client = _Client(CallbackAPIVersion.VERSION2, client_id=self._name, protocol=mqtt.MQTTv5)
        client.connect_timeout = CONNECT_S
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish = self._on_publish
        token = self._credentials.token()
        if token:
            client.username_pw_set(self._name, token)
        if not self._credentials.plain(self._host.name):
            client.tls_set_context(self._credentials.context())
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_FROM_BROKER
        try:
            client.connect(self._host.name, self._host.port, properties=properties)
        except (OSError, ValueError) as error:
            _close(client)
            raise SinkFailed(f"{type(error).__name__}: {error}") from error
        self._client = client
        self._turn(client, lambda: self._up, CONNECT_S)
        if not self._up:
            why = self._why
            self.close()
            raise SinkFailed(why or f"no answer within {CONNECT_S:g} s")
        return client

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _p: Any) -> None:
        self._up, self._why = not code.is_failure, str(code) if code.is_failure else ""

    def _on_disconnect(self, client: Any, _data: Any, _flags: Any, code: Any, _p: Any) -> None:
        if client is self._client:
            self._up, self._why = False, f"disconnected: {code}"

    def _on_publish(self, _client: Any, _data: Any, mid: int, code: Any, _p: Any) -> None:
        self._codes[mid] = int(code.value)


class _Client(mqtt.Client):
    """A client whose socket is bound to nothing: in a sink's cage no socket may be."""

    def _create_socket_connection(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), self.connect_timeout)


def _close(client: mqtt.Client) -> None:
    """Close what `client` has open: it does so itself only where its loop reads an end."""
    at = client.socket()
    if at is not None:
        at.close()
