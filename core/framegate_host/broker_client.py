"""A client of the fleet's MQTT broker that takes no more from it than it was made for.

A broker is believed nothing, and that is true of sizes and counts as well: MQTT 5 lets a client say
what it takes (3.1.2.11), and here a broker that sends more all the same is hung up on.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from framegate.errors import Reason, Refused
from framegate.redaction import clipped

CONNECT_S: Final = 5.0
"""For TCP and TLS; a broker stands in the same plant."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is: `host` and `port`."""

    host: str
    port: int

    @classmethod
    def parse(cls, address: str) -> Broker:
        """Of `host:port`. Raises Refused (USAGE)."""
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise Refused.of(Reason.USAGE, "a broker as host:port", clipped(ascii(address), 80))
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """What a client takes and keeps.

    `packet` is the largest packet from the broker (bytes), `unacknowledged` how many messages it
    may send before one is acknowledged, `waiting` how many of ours wait for it.
    """

    packet: int
    unacknowledged: int
    waiting: int


class BoundedClient(mqtt.Client):
    """An MQTT 5 client with `name`, the one in its certificate, as its client id.

    A broker that binds ids to names makes it that in any case (`broker_probe`); any other id would
    only hide which client is meant.
    """

    def __init__(
        self, name: str, context: ssl.SSLContext, limits: ClientLimits, **how: Any
    ) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5, **how)
        self._limits = limits
        self.tls_set_context(context)
        self.connect_timeout = CONNECT_S
        self.max_queued_messages_set(limits.waiting)

    def properties(self, session_s: int = 0) -> Properties:
        """What to connect with: the limits, and how long the broker keeps the session (s)."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = self._limits.packet
        properties.ReceiveMaximum = self._limits.unacknowledged
        if session_s:
            properties.SessionExpiryInterval = session_s
        return properties

    def _sock_recv(self, bufsize: int) -> bytes:
        """As the base class, which would read a packet of any announced length into memory."""
        if self._in_packet["remaining_length"] > self._limits.packet:
            raise ConnectionAbortedError(f"a packet of more than {self._limits.packet} bytes")
        return super()._sock_recv(bufsize)


class HandOver:
    """Calls out of a client's thread into the event loop, at most `most` on their way.

    Where the loop does not keep up the client's thread waits, `patience_s` at most, and reads
    nothing more meanwhile: the broker waits, too.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, patience_s: float) -> None:
        self._loop, self._patience_s = loop, patience_s
        self._free = threading.BoundedSemaphore(most)

    def __call__(self, work: Callable[..., None], *values: Any) -> bool:
        """Have the loop call `work`; False where it did not get to it in time, or has ended."""
        if not self._free.acquire(timeout=self._patience_s):
            return False
        try:
            self._loop.call_soon_threadsafe(self._run, work, *values)
        except RuntimeError:  # the loop is closed
            self._free.release()
            return False
        return True

    def _run(self, work: Callable[..., None], *values: Any) -> None:
        self._free.release()
        work(*values)
