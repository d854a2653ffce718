"""How calls end and how long they take, counted where they come in. A call's name is one of the
contract's: what a stranger asks for that nobody has is `other`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import grpc

from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import open_inference_pb2 as oip

_CONTRACTS: Final = {**pb.DESCRIPTOR.services_by_name, **oip.DESCRIPTOR.services_by_name}
SERVICES: Final = frozenset({*_CONTRACTS, "Health"})
"""Services that a program may have, `other` left out."""
CALLS: Final = frozenset(
    {f"{name}.{m.name}" for name, service in _CONTRACTS.items() for m in service.methods}
    | {"Health.Check", "Health.Watch"}
)
"""Their calls, SERVICE.CALL."""
OUTCOMES: Final = frozenset({"ok", "refused", "failed", "cancelled"})
"""What becomes of a call: `refused` is the caller's doing, `failed` ours or the network's."""
_OURS: Final = frozenset(
    {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
)


Spans = Callable[[str, tuple[tuple[str, str | bytes], ...], bool], AbstractContextManager[object]]
"""Begins the span of a call: its name, its metadata, and whether it is a stream."""


class CallTimes(grpc.aio.ServerInterceptor):
    """Counts calls of the servers it is given to; `told` gets service and seconds of each that has
    one answer.
    """

    def __init__(self, told: Callable[[float, str], None], spans: Spans | None = None) -> None:
        self._told, self._spans = told, spans
        self.ended: Counter[tuple[str, str]] = Counter()

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(details)
        if handler is None:
            self.ended["other", "refused"] += 1
            return handler
        return self._around(call_of(details.method), handler, details)

    def _around(self, call: str, handler: Any, details: grpc.HandlerCallDetails) -> Any:
        streams = handler.request_streaming or handler.response_streaming
        inner = next(
            f
            for f in (
                handler.unary_unary,
                handler.unary_stream,
                handler.stream_unary,
                handler.stream_stream,
            )
            if f is not None
        )

        async def answered(request: Any, context: Any) -> Any:
            with _Around(self, call, context, streams), self._span(call, details, streams):
                return await inner(request, context)

        async def streamed(request: Any, context: Any) -> AsyncIterator[Any]:
            with _Around(self, call, context, streams), self._span(call, details, streams):
                async for item in inner(request, context):
                    yield item

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[bool(handler.request_streaming), bool(handler.response_streaming)]
        wrapped = streamed if inspect.isasyncgenfunction(inner) else answered
        return make(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _span(
        self, call: str, details: grpc.HandlerCallDetails, streams: bool
    ) -> AbstractContextManager[object]:
        if self._spans is None:
            return contextlib.nullcontext()
        return self._spans(call, tuple(details.invocation_metadata or ()), streams)

    def over(self, call: str, outcome: str, seconds: float, *, streams: bool) -> None:
        """A call ended."""
        self.ended[call, outcome] += 1
        if not streams:
            self._told(seconds, call.partition(".")[0])


class _Around:
    """Tells when and how a call ended."""

    def __init__(self, times: CallTimes, call: str, context: Any, streams: bool) -> None:
        self._times, self._call, self._context, self._streams = times, call, context, streams
        self._began = time.monotonic()

    def __enter__(self) -> None:
        """It begins."""

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        """It is over, by `error` or in peace."""
        seconds = time.monotonic() - self._began
        outcome = _outcome(error, self._context)
        self._times.over(self._call, outcome, seconds, streams=self._streams)


def call_of(path: str | bytes) -> str:
    """SERVICE.CALL of a path, /package.SERVICE/CALL; `other` where the contract has none such."""
    text = path.decode("ascii", "replace") if isinstance(path, bytes) else path
    service, _, call = text.rpartition("/")
    name = f"{service.rpartition('.')[2]}.{call}"
    return name if name in CALLS else "other"


def _outcome(error: BaseException | None, context: Any) -> str:
    if error is None:
        return "ok"
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    if isinstance(error, grpc.aio.AbortError):
        return "failed" if context.code() in _OURS else "refused"
    return "failed"
