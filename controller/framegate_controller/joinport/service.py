"""What the join port serves: joining, and signing in. What can be refused without the controller is
refused here; the rest goes on, at a rate and so much at once.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate.evidence.hello import keys_of, parse_hello
from framegate.wire import MAX_HELLO_BYTES, sha256
from framegate_controller.joinport.connections import Connection, Connections
from framegate_controller.joinport.controller_line import ControllerLine, Elsewhere
from framegate_controller.joinport.limits import LARGE_BYTES, MAX_CALLS
from framegate_controller.joinport.messages import (
    BEGIN,
    COMPLETE,
    OFFER,
    PassedEvidence,
    PortSetup,
    open_token,
    seal_token,
)
from framegate_controller.joinport.refusals import RefusalCount
from framegate_controller.joinport.turnstile import Turnstile, Who
from framegate_controller.joinport.uploads import (
    OfferedOnce,
    Unoffered,
    UploadRoom,
    promise_of,
    read_evidence,
    read_offer,
)
from framegate_controller.timing import NONCE_LIFE_MS
from framegate_proto.edge import abort
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

log = logging.getLogger(__name__)
Handler = Callable[..., Awaitable[Any]]
SIGN_IN: Final = pb.DESCRIPTOR.services_by_name["SignIn"]


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Edge:
    """What every call at this port is asked first, and how it is refused."""

    connections: Connections
    refusals: RefusalCount
    turnstile: Turnstile
    line: ControllerLine
    setup: PortSetup

    @asynccontextmanager
    async def calling(self, context: Any, under_way: list[int]) -> AsyncIterator[Connection]:
        """The connection of a call, busy for as long as that lasts. Raises Refused, Unavailable."""
        connection = self.connections.at(context.peer())
        if under_way[0] >= MAX_CALLS:
            raise Unavailable.of(
                Reason.TOO_MANY_TRIES, f"at most {MAX_CALLS} calls at once", "more", "try again"
            )
        under_way[0] += 1
        try:
            with connection.calling():
                yield connection
        finally:
            under_way[0] -= 1

    async def refuse(self, error: Exception, context: Any) -> NoReturn:
        """End a call as the controller said, with our reasons, or with nothing but `internal`."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, Elsewhere):
            self._count(error.details, context)
            await context.abort(error.status, error.details, trailing_metadata=error.metadata)
        if not isinstance(error, FramegateError):
            log.error("a call failed", exc_info=error)
            error = Unavailable.of(Reason.INTERNAL, "an answer", "a fault of the join port")
        self._count(error.reason, context)
        await abort(context, error)

    def _count(self, reason: str, context: Any) -> None:
        if reason == Reason.SIGN_IN:  # the controller records who it was that failed
            return
        try:
            prefix = self.connections.at(context.peer()).prefix
        except FramegateError:  # hung up
            prefix = "gone"
        self.refusals.add(reason, prefix)


def served(method: Handler) -> Handler:
    """A handler of `JoinEdge` or `SignInEdge`: told its connection, its errors sent as `Edge`
    does.
    """

    @functools.wraps(method)
    async def run(self: Any, request: Any, context: Any) -> Any:
        try:
            async with self.edge.calling(context, self.under_way) as connection:
                return await method(self, request, context, connection)
        except Exception as error:  # noqa: BLE001 - told apart in one place
            await self.edge.refuse(error, context)

    return run


class JoinEdge(rpc.JoinServicer):
    """`Join` as strangers see it."""

    def __init__(self, edge: Edge, under_way: list[int]) -> None:
        self.edge, self.under_way = edge, under_way
        self._room, self._offered, self._unoffered = UploadRoom(), OfferedOnce(), Unoffered()

    @served
    async def Begin(
        self, request: pb.BeginRequest, _context: Any, connection: Connection
    ) -> pb.ChallengeReply:
        """A challenge, after:

        1. the Hello is small and whole, and its EK was not shown too often from there;
        2. its keys are those of a TPM, and it is within the rate of whose it is;
        3. the controller has looked at it: ticket, EK, endorsement, owner.

        Its state goes out as a token of this port. Raises FramegateError, Elsewhere.
        """
        if len(request.hello) > MAX_HELLO_BYTES:  # 1
            raise Malformed.of(
                Reason.TOO_LARGE, f"at most {MAX_HELLO_BYTES} bytes", len(request.hello)
            )
        hello = parse_hello(request.hello)
        edge, now = self.edge, now_ms()
        if not hello.ticket_code:
            edge.turnstile.look(hello.ek_public, connection.prefix, now)
        ek = sha256(keys_of(hello).ek.spki())
        who = self._who(ek, hello.ticket_code)
        edge.turnstile.hello(who, ek, hello.ticket_code, connection.prefix, now)  # 2
        lane = edge.line.strangers if who == Who.STRANGER else edge.line.known
        raw = await edge.line.ask(lane, BEGIN, connection.peer, request.SerializeToString())  # 3
        reply = pb.ChallengeReply.FromString(raw)
        reply.state = seal_token(edge.setup.token_key, reply.state, now_ms() + NONCE_LIFE_MS)
        connection.challenged(time.monotonic())
        return reply

    @served
    async def Complete(
        self, _request: Any, context: Any, connection: Connection
    ) -> pb.AttestationReply:
        """What evidence led to. It is read after:

        1. it was offered, with a size and a digest that evidence can have;
        2. under a challenge that this fleet's ports gave out, that lives, and that nobody answered;
        3. the controller found the MAC of the challenged TPM over size and digest, and the device
           within its share;
        4. there is room for it.

        Then it must be, to the byte, what was promised. Raises FramegateError, Elsewhere.
        """
        edge = self.edge
        if connection.waits_for_tpm(time.monotonic()):
            offer = await read_offer(context)
        else:
            with self._unoffered.waiting(connection.prefix):
                offer = await read_offer(context)
        promise = promise_of(offer)  # 1
        token = open_token(edge.setup.token_key, offer.state, now_ms())
        self._offered.take(token.state, token.expires_ms, now_ms())  # 2
        offer.state = token.state
        line = edge.line
        await line.ask(line.known, OFFER, connection.peer, offer.SerializeToString())  # 3
        async with self._room.room(promise.size):  # 4
            evidence = await read_evidence(context, promise)
            passed = PassedEvidence(state=token.state, mac=offer.mac, evidence=evidence).marshal()
            lane = line.large if promise.size > LARGE_BYTES else line.evidence
            raw = await line.ask(lane, COMPLETE, connection.peer, passed)
        connection.answered()
        return pb.AttestationReply.FromString(raw)

    def _who(self, ek_sha256: bytes, ticket: bytes) -> Who:
        line = self.edge.line
        if ticket:
            return Who.TICKET if sha256(ticket) in line.tickets else Who.STRANGER
        return Who.MACHINE if ek_sha256 in line.eks else Who.STRANGER


class SignInEdge:
    """`SignIn` as strangers see it: calls go on as they came, but for `Methods`."""

    def __init__(self, edge: Edge, under_way: list[int]) -> None:
        self.edge, self.under_way = edge, under_way

    def handler(self) -> grpc.GenericRpcHandler:
        """For a server."""
        methods = {m.name: self._method(m.name) for m in SIGN_IN.methods if m.name != "Methods"}
        methods["Methods"] = served(SignInEdge.methods)
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(functools.partial(method, self))
            for name, method in methods.items()
        }
        return grpc.method_handlers_generic_handler(SIGN_IN.full_name, handlers)

    async def methods(self, _request: bytes, _context: Any, _connection: Connection) -> bytes:
        """Which fleet this is, and whom it believes: known here."""
        reply = pb.SignInMethodsReply(
            fleet=self.edge.setup.fleet,
            now_ms=now_ms(),
            oidc_issuer=self.edge.setup.oidc_issuer,
        )
        return reply.SerializeToString()

    @staticmethod
    def _method(name: str) -> Handler:
        @served
        async def call(
            self: SignInEdge, request: bytes, _context: Any, connection: Connection
        ) -> bytes:
            edge = self.edge
            edge.turnstile.sign_in(connection.prefix, now_ms())
            return await edge.line.ask(
                edge.line.sign_ins, f"SignIn.{name}", connection.peer, request
            )

        return call
