"""Whether a broker lets another name take a client id over.

MQTT lets a client choose its id, and a broker end whoever has that id already (MQTT 5, 3.1.4): any
certificate the broker takes could then throw a line adapter or a gateway off for good, and receive
what was kept for it. A broker has to bind ids to the names in certificates.
"""

from __future__ import annotations

import secrets
import ssl
import threading
from contextlib import ExitStack
from typing import Any, Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from framegate.errors import Reason, Refused, Unavailable
from framegate_host.broker_client import BoundedClient, Broker, ClientLimits

ANSWER_S: Final = 5.0
"""For one answer of the broker."""
TAKEN_OVER_S: Final = 1.0
"""A broker that ends the older connection does so before or right after it takes the newer one."""
AGAIN_S: Final = 2.0
"""Between two looks at a broker that does not answer."""
REFUSED_AGAIN_S: Final = 30.0
"""Between two looks at one that was refused, by programs that go on without it: a person mends
it.
"""
LIMITS: Final = ClientLimits(packet=64 * 1024 * 1024, unacknowledged=1, waiting=8)
"""Only what the session had waiting could come, and nothing of it is acknowledged or kept."""
HINT: Final = (
    "mosquitto.conf needs: use_username_as_clientid true (framegate broker config writes the whole "
    "file); another broker has to make each client's id its certificate's common name, or to "
    "refuse any other"
)
_KEEPALIVE_S: Final = 10
_ID_REFUSED: Final = frozenset({0x85, 0x87})
"""CONNACK: client identifier not valid, not authorized (MQTT 5, 3.2.2.2). Busy or full says nothing
of ids.
"""
_TOPIC: Final = "framegate/v1/probe"


def require_bound_ids(broker: Broker, context: ssl.SSLContext, *, session_s: int = 0) -> None:
    """That `broker` binds client ids to the names in certificates. Blocking, some seconds at most.

    1. Two connections with our certificate, each under an id that nobody has: a broker that refuses
    one for its id binds ids; 2. one that ended the first by the second, which still answers, gave
    both the same id, our name; 3. one where the first still answers lets ids be chosen, and so
    taken over.

    `session_s` is how long the broker keeps our session, which a look must not end.
    Raises Refused (BROKER) for 3, Unavailable where there is no answer.
    """
    with ExitStack() as stack:
        probes: list[_Probe] = []
        for _ in range(2):
            probe = _Probe(context, session_s)
            stack.callback(probe.close)
            probe.connect(broker)
            if probe.refused in _ID_REFUSED:  # 1
                return
            if probe.refused:
                raise _silent(broker, f"CONNACK {probe.refused:#x}")
            probes.append(probe)
        first, second = probes
        if first.gone.wait(TAKEN_OVER_S) or not first.answers():  # 2
            if first.gone.is_set() and second.answers():
                return
            raise _silent(broker, "silence")
        for probe in (first, second):
            probe.leave_nothing()
        raise Refused.of(  # 3
            Reason.BROKER,
            f"a broker at {broker} that binds client ids to the names in certificates",
            "one that lets any client take another's id over",
            HINT,
        )


class _Probe:
    """A connection under an id of its own making."""

    def __init__(self, context: ssl.SSLContext, session_s: int) -> None:
        self.gone, self.refused = threading.Event(), 0
        self._session_s, self._final = session_s, False
        self._answered, self._subscribed = threading.Event(), threading.Event()
        name = f"framegate-probe-{secrets.token_hex(8)}"
        self._client = BoundedClient(
            name, context, LIMITS, reconnect_on_failure=False, manual_ack=True
        )
        self._client.on_connect = lambda _c, _u, _f, code, _p: self._connected(code)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = lambda *_: self._ended()

    def connect(self, broker: Broker) -> None:
        """Connect, or learn that the broker refuses to. Raises Unavailable."""
        try:
            self._client.connect(
                broker.host,
                broker.port,
                _KEEPALIVE_S,
                clean_start=not self._session_s,
                properties=self._client.properties(self._session_s),
            )
        except (OSError, ValueError) as error:
            raise _silent(broker, f"{type(error).__name__}: {error}") from error
        self._client.loop_start()
        if not self._answered.wait(ANSWER_S):
            raise _silent(broker, "silence")
        if self.gone.is_set() and not self.refused:
            raise _silent(broker, "the connection was closed")

    def answers(self) -> bool:
        """Whether the broker answers this connection, whatever it thinks of the topic."""
        self._client.subscribe(_TOPIC, qos=0)
        return self._subscribed.wait(ANSWER_S) and not self.gone.is_set()

    def leave_nothing(self) -> None:
        """Have the broker forget the session of this id with the end of the connection."""
        self._final = True

    def close(self) -> None:
        """Disconnect."""
        properties = None
        if self._final:
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0
        self._client.disconnect(properties=properties)
        self._client.loop_stop()

    def _connected(self, code: Any) -> None:
        if code.is_failure:
            self.refused = int(code.value)
        self._answered.set()

    def _ended(self) -> None:
        self.gone.set()
        self._answered.set()


def _silent(broker: Broker, seen: str) -> Unavailable:
    wanted = f"the broker at {broker}"
    return Unavailable.of(
        Reason.UNAVAILABLE, wanted, seen, "is it running? --broker, --broker-name"
    )
