"""Apache Kafka: acknowledged by all in-sync replicas, by an idempotent producer; keyed by machine,
so that what is about one stays in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from framegate_controller.sinks.credentials import Credentials, Host
from framegate_controller.sinks.delivery import Outgoing, SinkFailed, SinkRefused
from framegate_host.programs import way_to

FLUSH_S: Final = 15.0
MAX_EVENT_BYTES: Final = 1_000_000
"""Brokers' own limit unless they were told another."""


class KafkaSink:
    """A producer; a new one after whatever went wrong."""

    def __init__(self, address: str, topic: str, credentials: Credentials) -> None:
        """Raises SinkFailed where the extra is missing."""
        self._address, self._topic, self._credentials = address, topic, credentials
        self._library = _module()
        self._producer: Any = None

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        producer, lost = self._open(), list[Any]()

        def told(error: Any, _message: Any) -> None:
            if error is not None:
                lost.append(error)

        try:
            for o in batch:
                key = (o.device or o.event["metadata"]["tenant_uid"]).encode()
                headers = [("ce_id", o.uid.encode())]
                producer.produce(self._topic, o.body, key, on_delivery=told, headers=headers)
            left = producer.flush(FLUSH_S)
        except Exception as error:
            self.close()
            if getattr(error, "args", None) and "MSG_SIZE" in str(error):
                raise SinkRefused(str(error)) from error
            raise SinkFailed(f"{type(error).__name__}: {error}") from error
        if left:
            self.close()
            raise SinkFailed(f"{left} of {len(batch)} not acknowledged within {FLUSH_S:g} s")
        if lost:
            self.close()
            if any(e.name() == "MSG_SIZE_TOO_LARGE" for e in lost):
                raise SinkRefused(str(lost[0]))
            raise SinkFailed(str(lost[0]))

    def close(self) -> None:
        """See `SinkDriver.close`; what was not sent yet is dropped, and sent from the record."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None

    def _open(self) -> Any:
        if self._producer is None:
            self._producer = self._library.Producer(self._settings())
        return self._producer

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "bootstrap.servers": self._address,
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": int(FLUSH_S * 1000) - 1000,
            "linger.ms": 5,
            "message.max.bytes": MAX_EVENT_BYTES,
            "client.id": "framegate-controller",
        }
        if all(self._credentials.plain(Host.parse(a).name) for a in self._address.split(",")):
            return settings
        settings["security.protocol"] = "ssl"
        if self._credentials.ca is not None:
            settings["ssl.ca.location"] = str(self._credentials.ca)
        if self._credentials.client is not None:
            settings["ssl.certificate.location"] = str(self._credentials.client)
            settings["ssl.key.location"] = str(self._credentials.client)
        return settings


def _module() -> Any:
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra of its own
    except ModuleNotFoundError as error:
        raise SinkFailed(f"this host lacks the extra: {way_to('kafka')}") from error
    return confluent_kafka
