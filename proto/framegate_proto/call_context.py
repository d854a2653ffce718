"""Contexts of calls that outlive their calls.

gRPC's own lets go of its call when that ends: whoever hangs up ends it, while a thread or a task
that was begun for it goes on. Asked for the peer then, gRPC reads through a null pointer, and the
program is dead (SIGSEGV in `grpc_call_auth_context`, seen in grpcio 1.85.1 and 1.85.3). So what a
context says of its peer is read when the call begins, where it cannot have ended yet.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc

from framegate.errors import FramegateError
from framegate_proto.edge import abort

Method = Callable[[Any, Any], Any]
Passed = Callable[[Any], contextlib.AbstractContextManager[Any]]
"""What a handler is given in the place of gRPC's context, while its call is under way."""
_OF_A_CALL: Final = frozenset({"peer_identities", "peer_identity_key"})
"""What gRPC reads from the call itself and nothing here asks for."""


class CallContext:
    """A servicer context whose `peer`, `auth_context` and `invocation_metadata` are those of the
    moment that it was made, which MUST be before the handler's first await. The rest is gRPC's.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._peer: str = context.peer()
        self._auth = context.auth_context()
        self._metadata = tuple(context.invocation_metadata() or ())

    def peer(self) -> str:
        """gRPC's name of the peer, with its port."""
        return self._peer

    def auth_context(self) -> Any:
        """What TLS says of the peer."""
        return self._auth

    def invocation_metadata(self) -> tuple[Any, ...]:
        """What the caller sent beside the request."""
        return self._metadata

    def __getattr__(self, name: str) -> Any:
        if name in _OF_A_CALL:
            raise AttributeError(f"{name} reads a call that may have ended; ask auth_context")
        return getattr(self._context, name)


class PassedContexts(grpc.aio.ServerInterceptor):
    """Has every handler of a server given what `passed` makes of a call's context."""

    def __init__(self, passed: Passed) -> None:
        self._passed = passed

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        return handler if handler is None else _passing(handler, self._passed)


class OutlivingContexts(PassedContexts):
    """Gives each handler of a server a `CallContext`; MUST be the first of its interceptors."""

    def __init__(self) -> None:
        super().__init__(lambda context: contextlib.nullcontext(CallContext(context)))


def _passing(handler: Any, passed: Passed) -> Any:
    """`handler` with the context that `passed` gives for each call, while that lasts; a call for
    which it raises an error of ours is ended by that, and never begins.
    """
    kind = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    method: Method = getattr(handler, kind)

    @contextlib.asynccontextmanager
    async def begun(context: Any) -> AsyncIterator[Any]:
        entered = contextlib.ExitStack()
        try:
            given = entered.enter_context(passed(context))
        except FramegateError as error:
            await abort(context, error)
        with entered:
            yield given

    async def answered(request: Any, context: Any) -> Any:
        async with begun(context) as given:
            return await method(request, given)

    async def streamed(request: Any, context: Any) -> AsyncIterator[Any]:
        async with begun(context) as given, contextlib.aclosing(method(request, given)) as items:
            async for item in items:
                yield item

    # answers in streams are yielded, or written by a coroutine: so does gRPC's health
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        streamed if inspect.isasyncgenfunction(method) else answered,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
