"""MQTT 5 with quality of service 1: the broker acknowledges each message, and says where nobody
subscribes to it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
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
MAX_FROM_BROKER: Final = 4096
"""Bytes of a packet from the broker: acknowledgements have some ten."""
_TOO_LARGE: Final = frozenset({0x95, 0x99})
_NOBODY: Final = 0x10


class MqttSink:
    """One connection to a broker. `token` is a password, of the user that is called as the client;
    a certificate in `client.pem` goes instead, or besides.
    """

    def __init__(self, name: str, address: str, topic: str, credentials: Credentials) -> None:
        self._name, self._host, self._topic = f"framegate-siem-{name}", Host.parse(address), topic
        self._credentials = credentials
        self._client: mqtt.Client | None = None
        self._codes: dict[int, int] = {}
        self._changed = threading.Condition()
        self._up = False
        self._why = ""

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
        codes = self._acknowledged(wanted)
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
            client.loop_stop()

    def _acknowledged(self, wanted: Sequence[int]) -> list[int]:
        with self._changed:
            done = self._changed.wait_for(
                lambda: not self._up or all(m in self._codes for m in wanted), PUBLISH_S
            )
            codes = [self._codes.pop(m, -1) for m in wanted]
        if not done or -1 in codes:
            self.close()
            raise SinkFailed(f"not acknowledged within {PUBLISH_S:g} s, or hung up")
        return codes

    def _connected(self) -> mqtt.Client:
        if self._client is not None and self._up:
            return self._client
        self.close()
        self._codes.clear()
        self._why = ""
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self._name, protocol=mqtt.MQTTv5
        )
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
            raise SinkFailed(f"{type(error).__name__}: {error}") from error
        self._client = client
        client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._up or self._why, CONNECT_S)
        if not self._up:
            self.close()
            raise SinkFailed(self._why or f"no answer within {CONNECT_S:g} s")
        return client

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _p: Any) -> None:
        with self._changed:
            self._up, self._why = not code.is_failure, str(code) if code.is_failure else ""
            self._changed.notify_all()

    def _on_disconnect(self, client: Any, _data: Any, _flags: Any, code: Any, _p: Any) -> None:
        with self._changed:
            if client is self._client:
                self._up, self._why = False, f"disconnected: {code}"
            self._changed.notify_all()

    def _on_publish(self, _client: Any, _data: Any, mid: int, code: Any, _p: Any) -> None:
        with self._changed:
            self._codes[mid] = int(code.value)
            self._changed.notify_all()
