"""The console's own end of every connection: counted before TLS, and hung up on where it says
nothing. Below it is uvicorn's HTTP, which would wait for a first request for ever, and answers
nobody once enough connections wait (N190).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from framegate_host.prefixes import prefix_of

AT_ONCE: Final = 512
"""Connections: a browser has six, of which a page's stream holds one. A plant may stand behind one
address, so one address may have them all.
"""
HANDSHAKE_S: Final = 5.0
HEAD_S: Final = 10.0
"""For a whole request, from the connection or its first byte on: a megabyte over a slow link."""
LOOK_S: Final = 2.0
"""Between two looks whether a connection is still waited for."""


class Crowd:
    """Who is connected, in the order in which they came."""

    def __init__(self, most: int = AT_ONCE) -> None:
        self._most = most
        self._here: dict[Door, str] = {}

    def __len__(self) -> int:
        return len(self._here)

    def admit(self, door: Door, address: str) -> bool:
        """Whether there is room; where there is none the quietest connection of the network that
        has most quiet ones gives way. Nobody gives way whose request is being answered.
        """
        if len(self._here) >= self._most:
            quiet: dict[str, list[Door]] = {}
            for each, network in self._here.items():
                if each.quiet:
                    quiet.setdefault(network, []).append(each)
            if not quiet:
                return False
            first = max(quiet.values(), key=len)[0]
            self.leave(first)
            first.hang_up()
        self._here[door] = prefix_of(address)
        return True

    def leave(self, door: Door) -> None:
        """It is closed; a second time changes nothing."""
        self._here.pop(door, None)


class Door(asyncio.Protocol):
    """One connection; `within` makes uvicorn's protocol for it once it is let in."""

    def __init__(
        self, crowd: Crowd, tls: ssl.SSLContext | None, within: Callable[[], H11Protocol]
    ) -> None:
        self._crowd, self._tls, self._within = crowd, tls, within
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._http: H11Protocol | None = None
        self._early: list[bytes] = []
        self._waits_since = self._loop.time()
        self._look: asyncio.TimerHandle | None = None
        self._securing: asyncio.Task[None] | None = None

    @property
    def quiet(self) -> bool:
        """Whether no request is being answered: none came, or not the whole of it."""
        http = self._http
        if http is None or http.cycle is None or http.cycle.response_complete:
            return True
        return bool(http.cycle.more_body)

    def hang_up(self) -> None:
        """At once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`: TLS comes next, where there is any."""
        self._transport = transport
        address = transport.get_extra_info("peername")
        if not self._crowd.admit(self, address[0] if address else "unknown"):
            transport.abort()
            return
        self._look = self._loop.call_later(LOOK_S, self._still_waited_for)
        if self._tls is None:
            self._let_in(transport)
        else:
            # nothing is read before it begins: what comes belongs to the handshake
            transport.pause_reading()
            self._securing = self._loop.create_task(self._secure(transport, self._tls))

    async def _secure(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        try:
            secured = await self._loop.start_tls(
                transport, self, tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, asyncio.CancelledError):
            secured = None
        if secured is None:
            transport.abort()
            self.connection_lost(None)
        else:
            self._let_in(secured)

    def _let_in(self, transport: asyncio.Transport) -> None:
        self._transport, self._http = transport, self._within()
        self._http.connection_made(transport)
        early, self._early = self._early, []
        for data in early:
            self._http.data_received(data)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._http is None:  # between the handshake's end and our hearing of it
            self._early.append(data)
            return
        if self._http.timeout_keep_alive_task is not None:
            self._waits_since = self._loop.time()  # a request begins, on a connection that is kept
        self._http.data_received(data)

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        if self._http is not None:
            self._http.eof_received()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._crowd.leave(self)
        if self._look is not None:
            self._look.cancel()
            self._look = None
        http, self._http = self._http, None
        if http is not None:
            http.connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._http is not None:
            self._http.resume_writing()

    def _still_waited_for(self) -> None:
        """Hang up where the whole of a request does not come; uvicorn ends what is kept idle."""
        http = self._http
        kept = http is not None and http.timeout_keep_alive_task is not None
        if not self.quiet or kept:
            self._waits_since = self._loop.time()
        elif self._loop.time() - self._waits_since > HEAD_S:
            self.hang_up()
            return
        self._look = self._loop.call_later(LOOK_S, self._still_waited_for)
