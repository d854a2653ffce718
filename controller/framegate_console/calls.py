"""Calls of the fleet's services, each with the session of whoever asks and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

import grpc

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate_console.methods import gateway_methods, operator_methods
from framegate_console.sessions import Session
from framegate_proto.asked import content_of
from framegate_proto.edge import REASON_KEY, answered, from_rpc_error
from framegate_proto.targets import secured_target
from framegate_proto.v1 import framegate_pb2 as pb

T = TypeVar("T")
CALL_S: Final = 15.0
GATEWAY_S: Final = 3.0
"""A gateway on the plant's network answers in milliseconds; a page must not wait for a dead one."""
REFRESH_S: Final = 30.0
"""How often a gateway that is not reached has the controller asked whether its CA is another."""
SILENT_S: Final = 15.0
"""A controller that is there answers a watcher every five seconds."""
MAX_ANSWER: Final = 64 * 1024 * 1024
MAX_REASON: Final = 500
"""Characters that the controller keeps; a call whose head is too large it answers to nobody."""
_HINT: Final = "is the controller running and reachable from the console's machine?"
_GONE: Final = frozenset(
    {Reason.UNAUTHENTICATED, Reason.CERTIFICATE, Reason.CERTIFICATE_EXPIRED, Reason.SIGNED_OUT}
)
"""What ends a session here: the controller takes its certificate no more."""


class Endpoint(NamedTuple):
    """A gateway process, and where its operators' port is."""

    device: str
    address: str


class Calls:
    """The fleet's services for one session. Every call raises our errors; one by which the
    controller says that the session is over ends it here.
    """

    def __init__(self, session: Session, server_name: str, root_pem: bytes) -> None:
        self._session, self._server_name, self._root = session, server_name, root_pem
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}
        self._refreshed = 0.0
        session.at_end.append(self.close)

    async def operator(self, name: str, request: Any, *, reason: str = "") -> Any:
        """The controller's answer to `Operator.NAME`."""
        return await self._told(self._operator(name), request, reason)

    async def operator_bytes(self, name: str, request: Any) -> bytes:
        """The same as it came: whoever was told it before need not read it again."""
        method = operator_methods()[name].on(self._controller(), parsed=False)
        return bytes(await self._told(method, request))

    async def _told(self, method: Any, request: Any, reason: str = "") -> Any:
        call = method(request, timeout=CALL_S, metadata=_because(reason))
        try:
            return await answered(call, _HINT)
        except FramegateError as error:
            # the controller's word alone: a gateway hears of a new session a moment later
            if error.reason in _GONE:
                self._session.end()
            raise

    async def operator_rows(self, name: str, request: Any, most: int) -> list[Any]:
        """What the stream `Operator.NAME` brings, `most` at most."""
        call = self._operator(name)(request, timeout=CALL_S)
        return await self._rows(call, most)

    async def operator_watched(self, name: str, request: Any) -> AsyncGenerator[Any, None]:
        """What the stream `Operator.NAME` brings as it happens, until it or the session ends.

        Raises Unavailable where nothing was heard for `SILENT_S`.
        """
        call = self._operator(name)(request)
        try:
            while True:
                async with asyncio.timeout(SILENT_S):
                    item = await call.read()
                if item is grpc.aio.EOF:
                    return
                yield item
        except TimeoutError as late:
            wanted = f"a word every {SILENT_S:g} s"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, "none", _HINT) from late
        except grpc.aio.AioRpcError as raw:
            error = from_rpc_error(raw, _HINT)
            if error.reason in _GONE:
                self._session.end()
            raise error from raw
        finally:
            call.cancel()

    async def gateway(
        self, at: Endpoint, name: str, request: Any, *, reason: str = "", timeout_s: float = 0.0
    ) -> Any:
        """A gateway's answer to `GatewayOperator.NAME`."""
        while True:
            call = gateway_methods()[name].on(self._gateway(at))
            asked = call(request, timeout=timeout_s or GATEWAY_S, metadata=_because(reason))
            try:
                return await answered(asked, _HINT)
            except Unavailable:
                if not await self._others_sign():
                    raise

    async def gateway_rows(self, at: Endpoint, name: str, request: Any, most: int) -> list[Any]:
        """What a gateway's stream brings, `most` at most."""
        call = gateway_methods()[name].on(self._gateway(at))
        return await self._rows(call(request, timeout=CALL_S), most)

    async def watched(self, at: Endpoint, request: Any) -> AsyncIterator[Any]:
        """What a gateway says as it happens, until it or the session ends."""
        call = gateway_methods()["WatchVerdicts"].on(self._gateway(at))(request)
        try:
            async for item in call:
                yield item
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, _HINT) from error
        finally:
            call.cancel()

    async def gateways(self) -> list[Endpoint]:
        """Every gateway process that stands now."""
        devices = (await self.operator("List", pb.ListRequest(kind="gateway"))).devices
        return [Endpoint(d.device, a) for d in devices for a in d.operator_addresses if a]

    async def answers(
        self, ask: Callable[[Endpoint], Awaitable[T]], nothing: Refused, *, of: str = ""
    ) -> list[T]:
        """What gateways answer to `ask`, all asked at once; `of`: this one alone, whose word it is.
        Raises what one of them said where none answers, that it does not answer before that it has
        nothing.
        """
        endpoints = [at for at in await self.gateways() if of in {"", at.device}]
        if not endpoints:
            wanted, seen = nothing.failures[0].expected, "no gateway process has shown itself"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, of or seen)
        told = await asyncio.gather(*map(ask, endpoints), return_exceptions=True)
        problem: BaseException = nothing
        answers: list[T] = []
        for one in told:
            if not isinstance(one, BaseException):
                answers.append(one)
            elif not isinstance(one, FramegateError):
                raise one
            elif one.reason != Reason.NOT_FOUND:
                problem = one
        if not answers:
            raise problem
        return answers

    async def approved(self, at: Endpoint, verb: str, request: Any, reason: str) -> bytes:
        """The controller's approval of exactly `request` at this gateway; asked for where there is
        none yet. Raises Refused (APPROVAL_NEEDED) with the request's id where nobody approved.
        """
        content = content_of(request)
        take = pb.TakeApprovalRequest(
            verb=verb, content_sha256=content.digest(verb), gateways=[at.device]
        )
        try:
            return bytes((await self.operator("TakeApproval", take)).approvals[0])
        except Refused as absent:
            if absent.reason != Reason.NOT_FOUND:
                raise
        asked = pb.VerbRequest(
            verb=verb,
            gateways=[at.device],
            content_type=content.kind,
            content=content.body,
            reason=reason,
        )
        row = await self.operator("RequestVerb", asked)
        hint = f"somebody else: framegate access approve {row.id}"
        raise Refused.of(Reason.APPROVAL_NEEDED, "somebody else's approval", "none yet", hint)

    def close(self) -> None:
        """Let go of every connection."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            _CLOSING.add(task := asyncio.ensure_future(channel.close()))
            task.add_done_callback(_CLOSING.discard)

    async def _rows(self, call: Any, most: int) -> list[Any]:
        rows: list[Any] = []
        try:
            async for item in call:
                rows.append(item)
                if len(rows) >= most:
                    break
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, _HINT) from error
        finally:
            call.cancel()
        return rows

    async def _others_sign(self) -> bool:
        """Whether other CAs sign for gateways than this session knew."""
        if time.monotonic() - self._refreshed < REFRESH_S:
            return False
        self._refreshed = time.monotonic()
        authorities = (await self.operator("WhoAmI", pb.WhoAmIRequest())).authorities
        if not self._session.know(authorities):
            return False
        for address in [a for a in self._channels if a[0] != self._session.fleet_address]:
            await self._channels.pop(address).close()
        return True

    def _operator(self, name: str) -> Any:
        return operator_methods()[name].on(self._controller())

    def _controller(self) -> grpc.aio.Channel:
        return self._channel(self._session.fleet_address, self._server_name, self._root)

    def _gateway(self, at: Endpoint) -> grpc.aio.Channel:
        _, zone, name = at.device.split(".")
        anchors = self._session.authorities_pem
        return self._channel(at.address, f"{name}.{zone}.gateway.framegate", anchors)

    def _channel(self, address: str, server_name: str, anchors: bytes) -> grpc.aio.Channel:
        if self._session.over:
            raise Refused.of(Reason.SIGNED_OUT, "a session that still runs", "one that ended")
        channel = self._channels.get((address, server_name))
        if channel is None:
            credentials = grpc.ssl_channel_credentials(
                anchors, self._session.key, self._session.certificate
            )
            channel = secure_channel(address, server_name, credentials)
            self._channels[address, server_name] = channel
        return channel


_CLOSING: Final[set[asyncio.Future[Any]]] = set()
"""Channels that are being closed: asyncio keeps only weak references to tasks."""


def secure_channel(
    address: str, server_name: str, credentials: grpc.ChannelCredentials
) -> grpc.aio.Channel:
    """A channel to `server_name` at `address`, one or several controllers', of its own connection
    and through no proxy.
    """
    target = secured_target(
        address,
        server_name,
        ("grpc.max_receive_message_length", MAX_ANSWER),
        ("grpc.max_reconnect_backoff_ms", 1000),
    )
    return grpc.aio.secure_channel(target.name, credentials, options=target.options)


def _because(reason: str) -> tuple[tuple[str, bytes], ...]:
    return ((REASON_KEY, reason[:MAX_REASON].encode()),) if reason else ()
