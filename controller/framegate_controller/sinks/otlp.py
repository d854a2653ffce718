"""OpenTelemetry logs (OTLP) over gRPC or HTTP. A partial success is a loss: it is no confirmation,
and what was rejected among a batch is looked for by sending its halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as collector
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as collector_rpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2 as logs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from framegate_controller.sinks.credentials import Credentials, Host
from framegate_controller.sinks.delivery import Outgoing, SinkFailed, SinkRefused
from framegate_controller.sinks.http import Exchange

EXPORT_S: Final = 10.0
MAX_ANSWER: Final = 64 * 1024
SEVERITIES: Final = {1: 9, 2: 10, 3: 13, 4: 17, 5: 21}
"""OCSF's to OTLP's: INFO, INFO2, WARN, ERROR, FATAL."""
_AGAIN: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
_CONTENT: Final = frozenset({grpc.StatusCode.INVALID_ARGUMENT})
"""Of what was sent. Others (unauthenticated, unimplemented) are of the configuration."""


class OtlpGrpcSink:
    """The collector's logs service over gRPC."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._address, self._credentials = address, credentials
        self._channel: grpc.Channel | None = None

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        stub = collector_rpc.LogsServiceStub(self._open())  # type: ignore[no-untyped-call]
        token = self._credentials.token()
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            reply = stub.Export(export_request(batch), timeout=EXPORT_S, metadata=metadata)
        except grpc.RpcError as error:
            code = error.code()
            said = f"{code.name}: {str(error.details())[:200]}"
            if code in _CONTENT:
                raise SinkRefused(said) from error
            if code not in _AGAIN:
                said = f"{said}; a person has to mend it"
            raise SinkFailed(said) from error
        require_all(reply)

    def close(self) -> None:
        """See `SinkDriver.close`."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _open(self) -> grpc.Channel:
        if self._channel is None:
            options = (
                ("grpc.max_receive_message_length", MAX_ANSWER),
                ("grpc.enable_http_proxy", 0),
            )
            if self._credentials.plain(Host.parse(self._address).name):
                self._channel = grpc.insecure_channel(self._address, options)
            else:
                self._channel = grpc.secure_channel(self._address, self._tls(), options)
        return self._channel

    def _tls(self) -> grpc.ChannelCredentials:
        ca, client = self._credentials.ca, self._credentials.client
        try:
            pair = client.read_bytes() if client is not None else None
            return grpc.ssl_channel_credentials(
                ca.read_bytes() if ca is not None else None, pair, pair
            )
        except OSError as error:
            raise SinkFailed(f"ca.pem or client.pem cannot be read: {error}") from error


class OtlpHttpSink:
    """The same over HTTP: 429, 502, 503 and 504 are tried again, with the pause that is asked
    for; nothing else is.
    """

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._exchange, self._credentials = Exchange(address, credentials), credentials

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        token = self._credentials.token()
        headers = {"Content-Type": "application/x-protobuf"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        body = export_request(batch).SerializeToString()
        response = self._exchange.post("/v1/logs", body, headers)
        if response.status_code in {400, 413}:
            raise SinkRefused(f"HTTP {response.status_code}")
        if response.status_code != 200:
            raise SinkFailed(f"HTTP {response.status_code}; a person has to mend it")
        try:
            require_all(collector.ExportLogsServiceResponse.FromString(response.content))
        except DecodeError as error:
            raise SinkFailed("HTTP 200, and no answer of OTLP") from error

    def close(self) -> None:
        """See `SinkDriver.close`."""
        self._exchange.close()


def require_all(reply: collector.ExportLogsServiceResponse) -> None:
    """That no record was rejected. Raises SinkRefused."""
    rejected = reply.partial_success.rejected_log_records
    if rejected:
        why = reply.partial_success.error_message[:200]
        raise SinkRefused(f"{rejected} records rejected: {why}")


def export_request(batch: Sequence[Outgoing]) -> collector.ExportLogsServiceRequest:
    """A batch as OTLP has it: the event is the body, its id and name are attributes."""
    service = [_text("service.name", "framegate-controller")]
    return collector.ExportLogsServiceRequest(
        resource_logs=[
            logs.ResourceLogs(
                resource=Resource(attributes=service),
                scope_logs=[
                    logs.ScopeLogs(
                        scope=InstrumentationScope(name="framegate.record"),
                        log_records=[_record(o) for o in batch],
                    )
                ],
            )
        ]
    )


def _record(outgoing: Outgoing) -> logs.LogRecord:
    event = outgoing.event
    at = event["time"] * 1_000_000
    return logs.LogRecord(
        time_unix_nano=at,
        observed_time_unix_nano=at,
        severity_number=logs.SeverityNumber.ValueType(SEVERITIES[event["severity_id"]]),
        severity_text=event["severity"],
        event_name=f"framegate.{event['metadata']['event_code']}",
        body=AnyValue(string_value=outgoing.body.decode()),
        attributes=[_text("log.record.uid", outgoing.uid)],
    )


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
