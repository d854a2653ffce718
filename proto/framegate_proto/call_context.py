"""Contexts of calls that outlive their calls, and what every call of a server passes.

gRPC's own lets go of its call when that ends: whoever hangs up ends it, while a thread or a task
that was begun for it goes on. Asked for the peer then, gRPC reads through a null pointer, and the
program is dead (SIGSEGV in `grpc_call_auth_context`, seen in grpcio 1.85.1 and 1.85.3). So what a
context says of its peer is read when the call begins, where it cannot have ended yet.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import grpc

from framegate.errors import FramegateError, Reason, Unavailable
from framegate_host.panics import is_panic
from framegate_proto.edge import abort

log = logging.getLogger(__name__)
Method = Callable[[Any, Any], Any]
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


@dataclass(frozen=True, slots=True)
class Called:
    """What is called: gRPC's path of it, and whether its requests or answers come in streams."""

    path: str
    streams: bool


Passed = Callable[[Any, Called], contextlib.AbstractContextManager[Any]]
"""What a handler is given in the place of its context, while its call is under way. It MUST end no
error of a call.
"""


class PassedContexts(grpc.aio.ServerInterceptor):
    """Has every handler of a server given what `passed` make of a call's context, each of what the
    one before gave. A handler is wrapped once.
    """

    def __init__(self, *passed: Passed) -> None:
        self.passed = passed
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def unserved(self) -> None:
        """Somebody called what nobody serves."""

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
            self.unserved()
            return None
        method: Any = handler_call_details.method
        path = method.decode("ascii", "replace") if isinstance(method, bytes) else method
        known = self._wrapped.get(path)
        if known is None or known[0] is not handler:  # as many as there are handlers
            known = self._wrapped[path] = handler, _passing(handler, path, self.passed)
        return known[1]


class InOne(PassedContexts):
    """What several would do one after the other, the first outermost, in one."""

    def __init__(self, *parts: PassedContexts) -> None:
        super().__init__(*(passed for part in parts for passed in part.passed))
        self._parts = parts

    def unserved(self) -> None:
        """See `PassedContexts`."""
        for part in self._parts:
            part.unserved()


class OutlivingContexts(PassedContexts):
    """Gives each handler of a server a `CallContext`; MUST be the first of its interceptors."""

    def __init__(self) -> None:
        super().__init__(lambda context, _called: contextlib.nullcontext(CallContext(context)))


class _Layers:
    """What a call passed, and what it is given in the end. An ExitStack for managers that end no
    error: at each call of everybody it is a third of what all of this takes.
    """

    __slots__ = ("_passed", "given")

    def __init__(self, context: Any) -> None:
        self.given = context
        self._passed: list[contextlib.AbstractContextManager[Any]] = []

    def begin(self, passed: tuple[Passed, ...], called: Called) -> None:
        """One after the other. Raises what one of them raises; the ones before have begun."""
        for each in passed:
            manager = each(self.given, called)
            self.given = manager.__enter__()
            self._passed.append(manager)

    def __enter__(self) -> _Layers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        try:
            while self._passed:
                self._passed.pop().__exit__(kind, error, where)
        finally:
            if self._passed:  # one of them failed: the others end as well
                self.__exit__(kind, error, where)


async def _end_panicked(error: BaseException, path: str, context: Any) -> None:
    """End a call whose handler panicked: gRPC ends none whose handler raised what is no Exception,
    and its caller waits until it gives up. Leaves every other error alone.
    """
    if is_panic(error):
        log.error("%s failed", path, exc_info=error)
        await abort(context, Unavailable.of(Reason.INTERNAL, "an answer", "a fault of the server"))


def _passing(handler: Any, path: str, passed: tuple[Passed, ...]) -> Any:
    """`handler` with the context that `passed` give for each call, while that lasts; a call for
    which one raises an error of ours is ended by that, and never begins.
    """
    kind = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    method: Method = getattr(handler, kind)
    called = Called(path, bool(handler.request_streaming or handler.response_streaming))

    async def answered(request: Any, context: Any) -> Any:
        with _Layers(context) as layers:
            try:
                layers.begin(passed, called)
            except FramegateError as error:
                await abort(layers.given, error)
            try:
                return await method(request, layers.given)
            except BaseException as error:
                await _end_panicked(error, path, layers.given)
                raise

    async def streamed(request: Any, context: Any) -> AsyncIterator[Any]:
        with _Layers(context) as layers:
            try:
                layers.begin(passed, called)
            except FramegateError as error:
                await abort(layers.given, error)
            try:
                async with contextlib.aclosing(method(request, layers.given)) as items:
                    async for item in items:
                        yield item
            except BaseException as error:
                await _end_panicked(error, path, layers.given)
                raise

    # answers in streams are yielded, or written by a coroutine: so does gRPC's health
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        streamed if inspect.isasyncgenfunction(method) else answered,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
