"""Signed verdicts on an MQTT broker: QoS 1, never retained, over mutual TLS with the gateway's own certificate."""

from __future__ import annotations

import logging
import os
import ssl
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from framegate.errors import Reason, Unavailable
from framegate.statements import Verdict
from framegate_gateway.keys import Credentials, GatewayKeys

log = logging.getLogger(__name__)
QUEUED: Final = 10_000
"""Verdicts that wait while the broker is away; they expire within a minute anyway."""
KEEPALIVE_S: Final = 10


def topic_of(verdict: Verdict) -> str:
    """framegate/v1/<zone>/verdicts/<device>."""
    return f"framegate/v1/{verdict.zone}/verdicts/{verdict.device}"


class Publisher:
    """One MQTT client, made anew when its certificate has been renewed and the connection is gone."""

    def __init__(self, address: str, server_name: str, keys: GatewayKeys) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise Unavailable.of(Reason.USAGE, "a broker as host:port", address)
        self._host, self._port, self._server_name, self._keys = host, int(port), server_name, keys
        self._client: mqtt.Client | None = None

    def renewed(self, credentials: Credentials | None) -> None:
        """The gateway has new credentials: use them for the next connection."""
        if credentials is None or (self._client is not None and self._client.is_connected()):
            return
        self.stop()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=credentials.device, protocol=mqtt.MQTTv5)
        client.max_queued_messages_set(QUEUED)
        client.tls_set_context(self._context(credentials))
        client.on_connect_fail = lambda *_: log.info("broker does not answer")
        try:
            client.connect_async(self._host, self._port, KEEPALIVE_S)
            client.loop_start()
        except (OSError, ValueError) as error:
            log.warning("broker: %s", error)
            return
        self._client = client

    def publish(self, verdict: Verdict, envelope: bytes) -> None:
        """Hand `envelope` to the broker's queue; never blocks and never fails a frame."""
        if self._client is not None:
            self._client.publish(topic_of(verdict), envelope, qos=1, retain=False)

    def stop(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _context(self, credentials: Credentials) -> ssl.SSLContext:
        context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = self._server_name
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=credentials.authority("server-ca").decode())
        key, chain = self._keys.chain_pem()
        # ssl reads keys from files only; an anonymous memory file never touches a disk and ends with this block
        descriptor = os.memfd_create("framegate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, key + chain)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return context


class _NamedContext(ssl.SSLContext):
    """Checks the broker's certificate for its fleet name, whatever address it is reached by."""

    server_name: str

    def wrap_socket(self, sock, *args, **kwargs):  # type: ignore[no-untyped-def]
        """As the base class, with the fleet's name."""
        kwargs["server_hostname"] = self.server_name
        return super().wrap_socket(sock, *args, **kwargs)
