"""Errors to gRPC. A client sees ids, expectations and hints, never a cause or a traceback."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NoReturn, Protocol, TypeVar

import grpc

from framegate.errors import FramegateError, Reason, Unavailable
from framegate_controller.events.notices import Notice
from framegate_host.panics import ENDS
from framegate_proto.edge import abort

log = logging.getLogger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
F = TypeVar("F")


class Publisher(Protocol):
    """Whoever tells of what was committed; see `events.bus.Bus`."""

    async def publish(self, notices: tuple[Notice, ...]) -> None:
        """Tell of a committed change, until it is on its way."""


async def to_the_end(work: Coroutine[Any, Any, F]) -> F:
    """What `work` gives; it goes on though its caller hangs up, so that what is committed is also
    told.
    """
    return await asyncio.shield(asyncio.create_task(work))


async def _refuse(
    name: str, error: BaseException, context: Context, *, begun: bool = False
) -> NoReturn:
    """End a call with what the client may know of `error`; anything unforeseen, a panic too, is
    logged here and says `internal` there. What ends a call, a task or a program goes on as it is.
    `begun` is a stream of which the client was already sent something.
    """
    if isinstance(error, (*ENDS, grpc.aio.AbortError)):
        raise error
    if isinstance(error, FramegateError):
        if begun and error.reason == Reason.CERTIFICATE_EXPIRED:
            # certificates live for minutes and streams for days: so each of them ends, again and
            # again, and whoever reads a log would take it for news
            log.debug("%s ended with its caller's certificate; it comes again with the next", name)
        elif error.reason == Reason.CERTIFICATE_EXPIRED:
            told = ascii(str(error))
            log.info("%s: a caller that was away attests anew, then comes again: %s", name, told)
        else:
            log.info("%s refused: %s", name, ascii(str(error)))
        await abort(context, error)
    log.error("%s failed", name, exc_info=error)
    await abort(
        context,
        Unavailable.of(Reason.INTERNAL, "an answer", "a fault of the controller, see its log"),
    )


def guarded(method: Callable[..., Awaitable[F]]) -> Callable[..., Awaitable[F]]:
    """A unary handler whose errors reach the client as `_refuse` sends them."""

    @functools.wraps(method)
    async def run(self: Any, request: Any, context: Context) -> F:
        try:
            return await method(self, request, context)
        except BaseException as error:  # noqa: BLE001 - told apart in one place
            await _refuse(method.__name__, error, context)

    return run


def guarded_stream(method: Callable[..., AsyncIterator[F]]) -> Callable[..., AsyncIterator[F]]:
    """The same for a server-streaming handler."""

    @functools.wraps(method)
    async def run(self: Any, request: Any, context: Context) -> AsyncIterator[F]:
        begun = False
        try:
            async for item in method(self, request, context):
                yield item
                begun = True
        except BaseException as error:  # noqa: BLE001 - told apart in one place
            await _refuse(method.__name__, error, context, begun=begun)

    return run
