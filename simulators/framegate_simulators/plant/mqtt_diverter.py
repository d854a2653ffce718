"""A diverter that hears signed decisions off the broker, and the credentials it reads them with."""

from __future__ import annotations

import json
import secrets
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.enums import CallbackAPIVersion

from framegate.errors import FramegateError
from framegate.identity.certificates import from_ms, load_authorities
from framegate.signed.decision import Decision, Notice, verify_decision
from framegate_simulators.plant.diverter import WATCHDOG_S, Part


@dataclass
class LineKeys:
    """A folder that `framegate-controller line-certificate` wrote."""

    folder: Path

    @property
    def root(self) -> x509.Certificate:
        """The fleet's root."""
        return x509.load_pem_x509_certificate((self.folder / "root.pem").read_bytes())

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The fleet's issuing CAs."""
        certificates = x509.load_pem_x509_certificates(
            (self.folder / "authorities.pem").read_bytes()
        )
        return load_authorities([c.public_bytes(Encoding.DER) for c in certificates], self.root)

    def client(self, name: str) -> mqtt.Client:
        """An MQTT client with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = (
            False  # loopback; the broker's certificate must still be the fleet's
        )
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cafile=str(self.folder / "authorities.pem"))
        context.load_cert_chain(str(self.folder / "line.pem"), str(self.folder / "line.key"))
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{name}-{secrets.token_hex(4)}",
            protocol=mqtt.MQTTv5,
        )
        client.tls_set_context(context)
        client.reconnect_delay_set(1, 1)
        return client


class MqttDiverter:
    """Signed decisions off the broker: verified, for this line, in time, by a beating heart."""

    def __init__(self, line: str, keys: LineKeys, port: int) -> None:
        self._line, self._authorities, self._root = line, keys.authorities, keys.root
        self._permits: dict[tuple[str, str, int, int], Decision] = {}
        self.decisions: dict[tuple[str, int], str] = {}
        self._beat_s = float("-inf")
        self._beats = -1
        self.stops: list[Notice] = []
        self.refused = 0
        self._client = keys.client(f"{line}-plc")
        topic = f"framegate/v1/lines/{line}"
        self._client.on_connect = lambda c, *_: _subscribe(
            c, f"{topic}/decisions", f"{topic}/notices"
        )
        self._client.on_message = lambda _c, _u, m: self._message(m)
        self._client.connect_async("127.0.0.1", port, 5)
        self._client.loop_start()

    def permits(self, part: Part) -> bool:
        """See `Diverter`."""
        trigger = (part.part, part.part_type, part.sequence, part.entered_ms)
        decision = self._permits.pop(trigger, None)
        beats = time.monotonic() - self._beat_s < WATCHDOG_S
        return (
            beats
            and decision is not None
            and decision.valid_until_ms >= time.time_ns() // 1_000_000
        )

    def close(self) -> None:
        """See `Diverter`."""
        self._client.disconnect()
        self._client.loop_stop()

    def trigger(self, part: Part) -> None:
        """Tell the adapter that a part has entered; queued while the broker is away."""
        body = {
            "part": part.part,
            "part_type": part.part_type,
            "trigger_sequence": part.sequence,
            "at_ms": part.entered_ms,
        }
        self._client.publish(f"framegate/v1/lines/{self._line}/triggers", json.dumps(body), qos=1)

    def _message(self, message: Any) -> None:
        now = from_ms(time.time_ns() // 1_000_000)
        try:
            if message.retain:
                raise ValueError("retained")
            if message.topic.endswith("/decisions"):
                decision = verify_decision(
                    message.payload, self._line, self._authorities, self._root, now
                )
                key = (decision.part, decision.trigger_sequence)
                self.decisions[key] = decision.outcome
                if decision.passes:
                    trigger = (
                        decision.part,
                        decision.part_type,
                        decision.trigger_sequence,
                        decision.triggered_at_ms,
                    )
                    self._permits[trigger] = decision
            else:
                notice, _ = Notice.verify(message.payload, self._authorities, self._root, now)
                if (
                    notice.kind == "heartbeat"
                    and notice.line == self._line
                    and notice.count != self._beats
                ):
                    self._beats, self._beat_s = notice.count, time.monotonic()
                elif notice.kind == "line-stop":
                    self.stops.append(notice)
        except (FramegateError, ValueError):
            self.refused += 1


def _subscribe(client: mqtt.Client, *topics: str) -> None:
    for topic in topics:
        client.subscribe(topic, qos=1)
