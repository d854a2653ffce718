"""Errors to gRPC and registry rows to messages. A client sees ids, expectations and hints, never a cause or a traceback."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc
from cryptography.hazmat.primitives import serialization
from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.identity.names import Kind
from framegate.wire import GatewayPublics
from framegate_controller.fleet.attestation import Answer
from framegate_controller.store.tables import Device, Gateway, LogEntry
from framegate_proto.edge import to_failures, to_status
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
F = TypeVar("F")


async def abort(context: Context, error: FramegateError) -> NoReturn:
    """End the call with `error`'s failures in the trailing metadata."""
    code, details, metadata = to_status(error)
    await context.abort(code, details, trailing_metadata=metadata)
    raise AssertionError("abort returns to nobody")


async def _refuse(name: str, error: Exception, context: Context) -> NoReturn:
    """End a call with what the client may know of `error`; anything unforeseen is logged here and says `internal` there."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, FramegateError):
        log.info("%s refused: %s", name, ascii(str(error)))
        await abort(context, error)
    log.error("%s failed", name, exc_info=error)
    await abort(context, Unavailable.of(Reason.INTERNAL, "an answer", "a fault of the controller, see its log"))


def guarded(method: Callable[..., Awaitable[F]]) -> Callable[..., Awaitable[F]]:
    """A unary handler whose errors reach the client as `_refuse` sends them."""

    @functools.wraps(method)
    async def run(self: Any, request: Any, context: Context) -> F:
        try:
            return await method(self, request, context)
        except Exception as error:  # noqa: BLE001 - told apart in one place
            await _refuse(method.__name__, error, context)

    return run


def guarded_stream(method: Callable[..., AsyncIterator[F]]) -> Callable[..., AsyncIterator[F]]:
    """The same for a server-streaming handler."""

    @functools.wraps(method)
    async def run(self: Any, request: Any, context: Context) -> AsyncIterator[F]:
        try:
            async for item in method(self, request, context):
                yield item
        except Exception as error:  # noqa: BLE001 - told apart in one place
            await _refuse(method.__name__, error, context)

    return run


def to_reply(answer: Answer, authorities: list[bytes], result_life_ms: int, interval_ms: int) -> pb.AttestationReply:
    """An answer as a message."""
    der = serialization.Encoding.DER
    return pb.AttestationReply(
        device=answer.device, zone=answer.zone, state=answer.state, certificate=answer.certificate.public_bytes(der) if answer.certificate else b"",
        authorities=authorities, result_id=answer.result_id, result_life_ms=result_life_ms, attest_interval_ms=interval_ms,
        failures=to_failures(answer.failures), retry_with_boot_log=answer.retry_with_boot_log,
        gateways=[
            pb.GatewayCertificates(publics_sha256=p, tls_certificate=t.public_bytes(der), verdict_certificate=v.public_bytes(der)) for p, t, v in answer.gateways
        ],
    )  # fmt: skip


def to_summary(session: Session, device: Device, now_ms: int) -> pb.DeviceSummary:
    """A device as a row of a listing."""
    summary = pb.DeviceSummary(
        device=device.id, kind=device.kind, zone=device.zone, name=device.name, state=device.state, since_ms=device.since_ms, profile=device.profile,
        last_result_ms=device.result_ms, result_remaining_ms=max(0, device.result_expires_ms - now_ms), result_id=device.result_id,
        failures=len(json.loads(device.failures)), maintenance_until_ms=device.maintenance_until_ms if device.maintenance_until_ms > now_ms else 0,
        maintenance=device.maintenance if device.maintenance_until_ms > now_ms else "",
    )  # fmt: skip
    if device.kind == Kind.GATEWAY:
        for raw in session.scalars(select(Gateway.publics).where(Gateway.host == device.id)).all():
            publics = GatewayPublics.parse(raw)
            summary.gateway_addresses.append(publics.address)
            summary.operator_addresses.append(publics.operator_address)
    return summary


def to_event(row: LogEntry) -> pb.EventRow:
    """An event of the log as a message."""
    e = json.loads(row.entry)
    return pb.EventRow(
        index=row.id, at_ms=row.at_ms, device=e.get("device", ""), event=e.get("event", row.kind), actor=e.get("actor", e.get("gateway", "")), detail=e.get("detail", ""),
        from_state=e.get("from", ""), to_state=e.get("to", ""), source=e.get("source", ""), approved_by=e.get("approved_by", []), reason=e.get("reason", ""),
        verb=e.get("verb", ""), policies=e.get("policies", []),
    )  # fmt: skip
