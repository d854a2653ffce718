"""The port's own end of every connection: bytes go through to the server behind it as they are, so
that connections can be counted and cut off before TLS, and whatever they do in it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Final, cast

from framegate_controller.joinport.connections import Connection, Connections
from framegate_controller.joinport.limits import SILENCE_S

SWEEP_S: Final = 2.0
BACKLOG: Final = 512
READ_BYTES: Final = 64 * 1024
"""Read at once, into memory that all connections of a loop share: for each read of its own asyncio
asks the system for 256 KiB and gives them back.
"""
LOOPBACK: Final = "127.0.0.1"


def peer_name(address: tuple[object, ...]) -> str:
    """gRPC's name of a socket's address, without its port."""
    host = str(address[0])
    return f"ipv6:%5B{host}%5D" if ":" in host else f"ipv4:{host}"


class _End(asyncio.BufferedProtocol):
    """One of the two sockets of a connection; what comes in goes out at the other. `read` is where
    it comes in, for the moment until it is passed on.
    """

    def __init__(self, read: memoryview) -> None:
        self._read = read
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.early = b""
        self.heard_s = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        self.pass_on(bytes(self._read[:nbytes]))

    def pass_on(self, data: bytes) -> None:
        """It came in."""
        self.heard_s = time.monotonic()
        if self.other is None:
            self.early += data
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.hang_up()
        return False

    def pause_writing(self) -> None:  # who reads slowly is read slowly: nothing piles up here
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        other = self.other.transport if self.other is not None else None
        if other is not None and not other.is_closing():
            other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Close both ends, once what is on its way is out."""
        for end in (self, self.other):
            if end is not None and end.transport is not None:
                end.transport.close()


class _Outer(_End):
    """The end towards the peer."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay.read)
        self._relay = relay
        self.connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        own = self.transport = cast(asyncio.Transport, transport)
        self.connection = self._relay.admit(self, own)
        if self.connection is None:
            own.abort()
            return
        # Until there is somebody to read it. The Python of Debian 12 (3.11.2) begins to read after
        # this has run, whatever was said in it: what came meanwhile is kept, and read no further.
        asyncio.get_running_loop().call_soon(own.pause_reading)
        self._relay.join(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._relay.gone(self)


class Relay:
    """Between a listening socket and the server on a port of this host's loopback."""

    def __init__(
        self, connections: Connections, server_port: int, *, cut_calls: bool = True
    ) -> None:
        """`cut_calls`: a silent connection is cut though a call is under way on it."""
        self._connections, self._server_port = connections, server_port
        self._cut_calls = cut_calls
        self.read = memoryview(bytearray(READ_BYTES))
        self._ends: set[_Outer] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self.accepting = asyncio.Event()
        """Set once connections are taken."""

    async def serve(self, listener: socket.socket) -> None:
        """Forever."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Outer(self), sock=listener, backlog=BACKLOG)
        self.accepting.set()
        try:
            while True:
                await asyncio.sleep(SWEEP_S)
                self._sweep(time.monotonic())
        finally:
            server.close()
            for task in self._joining:  # who was on their way to the server comes too late
                task.cancel()
            await asyncio.gather(*self._joining, return_exceptions=True)
            for end in tuple(self._ends):  # the server's own end waits for them, for ever
                end.hang_up()

    def admit(self, end: _Outer, transport: asyncio.Transport) -> Connection | None:
        """The connection of a new end, if it may stay."""
        address = transport.get_extra_info("peername")
        if not address:  # hung up already
            return None
        connection = self._connections.admit(peer_name(address), transport.abort, time.monotonic())
        if connection is not None:
            self._ends.add(end)
        return connection

    def join(self, end: _Outer) -> None:
        """Connect it to the server."""
        task = asyncio.get_running_loop().create_task(self._join(end))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    def gone(self, end: _Outer) -> None:
        """It is closed."""
        self._ends.discard(end)
        if end.connection is not None:
            self._connections.leave(end.connection)

    async def _join(self, end: _Outer) -> None:
        loop = asyncio.get_running_loop()
        if end.transport is None or end.connection is None:
            return
        try:
            transport, inner = await loop.create_connection(
                lambda: _End(self.read), LOOPBACK, self._server_port
            )
        except OSError:
            end.transport.abort()
            return
        # known before the first byte goes through, and so before the first call
        port = transport.get_extra_info("sockname")[1]
        if end.transport.is_closing():
            transport.abort()
            return
        self._connections.bind(end.connection, port)
        inner.other, end.other = end, inner
        if end.early:
            transport.write(end.early)
            end.early = b""
        end.transport.resume_reading()

    def _sweep(self, now_s: float) -> None:
        for end in tuple(self._ends):
            heard_s = max(end.heard_s, end.other.heard_s if end.other is not None else 0.0)
            busy = end.connection is not None and end.connection.calls and not self._cut_calls
            if now_s - heard_s > SILENCE_S and end.transport is not None and not busy:
                end.transport.abort()
