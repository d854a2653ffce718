"""The fleet port's own end of every connection: counted, and cut off where there are too many or
they are silent, before TLS asks who it is. Strangers' connections give way; whoever calls does not.

Bytes go through as they are, in a thread of their own; the server behind it serves on a port of
this host's loopback, and serves nobody who did not come this way.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc

from framegate.errors import FramegateError
from framegate_controller.joinport.connections import Connection, Connections
from framegate_controller.joinport.relay import Relay
from framegate_proto.call_context import CallContext, OutlivingContexts
from framegate_proto.caller_share import CallerShares
from framegate_proto.edge import abort

MAX_CONNECTIONS: Final = 2_048
"""At once: every machine and person of a large plant has one. Each costs three descriptors and some
100 KiB. A plant may stand behind one address, so one address may have them all: the oldest that has
no call under way gives way to the next, of the address that has most of such. A machine always has
one, its watch.
"""
END_S: Final = 5.0


class FleetFront:
    """Between the fleet port's listening socket and its server. `start` before the first call."""

    def __init__(self, listener: socket.socket, most: int = MAX_CONNECTIONS) -> None:
        self.connections = Connections(most, most)
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fleet front", daemon=True)
        self._serving: asyncio.Task[None] | None = None

    def interceptors(
        self, watched: grpc.aio.ServerInterceptor
    ) -> tuple[grpc.aio.ServerInterceptor, ...]:
        """What every call of the server behind it passes: it came through here, `watched` counts
        it, and its caller has no more under way than its share.
        """
        return OutlivingContexts(), ThroughFront(self.connections), watched, CallerShares()

    def start(self, server_port: int) -> None:
        """Let connections in, to the server at `server_port` of loopback."""
        # some calls work for long before they say anything
        self._relay = Relay(self.connections, server_port, cut_calls=False)
        self._thread.start()

    async def stop(self) -> None:
        """Let nobody in any more."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end)
            await asyncio.to_thread(self._thread.join, END_S)
        self._listener.close()

    def _end(self) -> None:
        if self._serving is not None:
            self._serving.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._serving = self._loop.create_task(self._relay.serve(self._listener))
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)
        self._loop.close()


class FrontContext(CallContext):
    """A call's context, whose peer is who connected, and not the front."""

    def __init__(self, context: Any, connection: Connection) -> None:
        super().__init__(context)
        self._connection = connection

    def peer(self) -> str:
        """gRPC's name of the peer; its port, which nothing here asks for, is 0."""
        return f"{self._connection.peer}:0"


class ThroughFront(grpc.aio.ServerInterceptor):
    """Serves calls of connections that came through a front, and of no other; while one lasts, its
    connection gives way to nobody.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return handler
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            answer = self._answering(handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(answer, **coders)
        if handler.stream_unary is not None:
            answer = self._answering(handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(answer, **coders)
        if handler.unary_stream is not None:
            stream = self._either(handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, **coders)
        return grpc.stream_stream_rpc_method_handler(self._either(handler.stream_stream), **coders)

    def _either(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Answers in streams are yielded, or written by a coroutine: so does gRPC's health."""
        wrap = self._streaming if inspect.isasyncgenfunction(method) else self._answering
        return wrap(method)

    def _answering(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def run(request: Any, context: Any) -> Any:
            connection = await self._connection(context)
            with connection.calling():
                return await method(request, FrontContext(context, connection))

        return run

    def _streaming(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def run(request: Any, context: Any) -> AsyncIterator[Any]:
            connection = await self._connection(context)
            with connection.calling():
                async with contextlib.aclosing(
                    method(request, FrontContext(context, connection))
                ) as items:
                    async for item in items:
                        yield item

        return run

    async def _connection(self, context: Any) -> Connection:
        try:
            return self._connections.at(context.peer())
        except FramegateError as error:
            await abort(context, error)
