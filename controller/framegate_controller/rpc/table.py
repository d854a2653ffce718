"""The operator's port as a table: which call reads which verb out of its request, and how what came
of it is written into the reply.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose
from framegate_controller.context import Fleet
from framegate_controller.record.growth import RecordGrowth
from framegate_controller.rpc.peer import verify_peer
from framegate_controller.rpc.wire import Context, guarded, guarded_stream, to_the_end
from framegate_controller.verbs.desk import Asking, Desk, Done
from framegate_controller.verbs.verb import MAX_REASON, StreamedVerb, Verb
from framegate_proto.asked import content_of
from framegate_proto.edge import DRY_RUN_KEY, NOTICE_KEY, REASON_KEY
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_proto.whole_numbers import whole_numbers

R = TypeVar("R")
Row = TypeVar("Row")
Asked = TypeVar("Asked", bound=Message)
Reply = TypeVar("Reply", bound=Message)
SOME: Final = 64
"""Rows fetched in one go off the event loop: a change of threads costs more than a row does."""
SOON_S: Final = 0.05
"""Rows that take long to make are sent on after this time, however few they are."""

MAX_WATCHING: Final = 1024
"""Who watches at once: each answer costs a question's time, for everybody when something happens.
"""
APART_S: Final = 0.25
"""Between two answers to one watcher, however busy the record is."""
BEAT_S: Final = 5.0
"""A watcher is answered so often at least, and hears then that its session is over."""


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Asked, R, Reply]):
    """A call of the operator's service: its name, how its request is read, how its value is
    written.
    """

    name: str
    parse: Callable[[Asked], Verb[R]]
    reply: Callable[[R, Fleet], Reply]


@dataclass(frozen=True, slots=True)
class StreamRpc(Generic[Asked, R, Row, Reply]):
    """The same for a call that answers with a stream of rows."""

    name: str
    parse: Callable[[Asked], StreamedVerb[R, Row]]
    reply: Callable[[Row], Reply]


@dataclass(frozen=True, slots=True)
class WatchRpc(Generic[Asked, R, Reply]):
    """The same for a call that answers anew whenever the record grew."""

    name: str
    parse: Callable[[Asked], Verb[R]]
    reply: Callable[[R, Fleet], Reply]


AnyRpc: TypeAlias = Rpc[Any, Any, Any] | StreamRpc[Any, Any, Any, Any] | WatchRpc[Any, Any, Any]
Publish = Callable[[tuple[Any, ...]], Awaitable[None]]


class Operators:
    """Takes operators' calls: who is there, what do they ask, what came of it, whom to tell."""

    def __init__(self, desk: Desk, publish: Publish, growth: RecordGrowth) -> None:
        self._desk, self._publish, self._growth = desk, publish, growth
        self._watching = 0

    def service(self, table: Iterable[AnyRpc]) -> rpc.OperatorServicer:
        """A servicer with a handler for each row. Raises ValueError where a row names no call of
        the service, or a call has no row.
        """
        handlers = {row.name: self._handler(row) for row in table}
        known = {name for name in vars(rpc.OperatorServicer) if not name.startswith("_")}
        if set(handlers) != known:
            raise ValueError(
                f"calls without a row, or rows without a call: {sorted(set(handlers) ^ known)}"
            )
        servicer: rpc.OperatorServicer = type(
            "OperatorService", (rpc.OperatorServicer,), handlers
        )()
        return servicer

    def _handler(self, row: AnyRpc) -> Any:
        match row:
            case Rpc():
                return self._unary(row)
            case StreamRpc():
                return self._stream(row)
            case WatchRpc():
                return self._watch(row)

    def _unary(self, row: Rpc[Any, Any, Any]) -> Any:
        async def handle(_service: Any, request: Any, context: Context) -> Any:
            verify_peer(
                context, self._desk.fleet.keys, Purpose.OPERATOR
            )  # before anything in the request is read
            done = await self._done(row.parse(whole_numbers(request)), request, context)
            return row.reply(done.value, self._desk.fleet)

        handle.__name__ = row.name
        return guarded(handle)

    def _stream(self, row: StreamRpc[Any, Any, Any, Any]) -> Any:
        async def handle(_service: Any, request: Any, context: Context) -> AsyncIterator[Any]:
            verify_peer(context, self._desk.fleet.keys, Purpose.OPERATOR)
            verb = row.parse(whole_numbers(request))
            done = await self._done(verb, request, context)
            rows: Iterator[Any] = verb.rows(self._desk.store, self._desk.fleet, done.value)
            while some := await asyncio.to_thread(_some, rows):
                for item in some:
                    yield row.reply(item)

        handle.__name__ = row.name
        return guarded_stream(handle)

    def _watch(self, row: WatchRpc[Any, Any, Any]) -> Any:
        async def handle(_service: Any, request: Any, context: Context) -> AsyncIterator[Any]:
            verify_peer(context, self._desk.fleet.keys, Purpose.OPERATOR)
            if self._watching >= MAX_WATCHING:
                hint = "close pages that nobody looks at"
                wanted = f"at most {MAX_WATCHING} who watch"
                raise Refused.of(Reason.TOO_MANY_TRIES, wanted, "one more", hint)
            self._watching += 1
            try:
                while True:
                    seen = self._growth.size
                    # each answer is judged anew: nobody goes on seeing by what once held
                    done = await self._done(row.parse(whole_numbers(request)), request, context)
                    yield row.reply(done.value, self._desk.fleet)
                    await asyncio.sleep(APART_S)
                    await self._growth.beyond(seen, BEAT_S)
            finally:
                self._watching -= 1

        handle.__name__ = row.name
        return guarded_stream(handle)

    async def _done(self, verb: Verb[R], request: Message, context: Context) -> Done[R]:
        done = await to_the_end(self._told(verb, request, context))
        if done.notices:  # beside the answer, so that nobody overlooks it
            context.set_trailing_metadata(((NOTICE_KEY, "\n".join(done.notices).encode()),))
        return done

    async def _told(self, verb: Verb[R], request: Message, context: Context) -> Done[R]:
        done = await asyncio.to_thread(self._perform, verb, request, context)
        if done.tell:
            await self._publish(done.tell)
        return done

    def _perform(self, verb: Verb[R], request: Message, context: Context) -> Done[R]:
        given = dict(context.invocation_metadata() or ())
        raw = given.get(REASON_KEY, b"")
        reason = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
        asking = Asking(
            peer=verify_peer(context, self._desk.fleet.keys, Purpose.OPERATOR),
            content=lambda: content_of(request),
            reason=reason[:MAX_REASON],
            dry_run=given.get(DRY_RUN_KEY) == "1",
        )
        return self._desk.perform(verb, asking)


def _some(rows: Iterator[Row]) -> list[Row]:
    """The next rows; none are left where it is empty."""
    batch: list[Row] = []
    until = time.monotonic() + SOON_S
    for row in rows:
        batch.append(row)
        if len(batch) == SOME or time.monotonic() > until:
            break
    return batch
