"""The fleet port's own end of every connection: counted, and cut off where there are too many or
they are silent, before TLS asks who it is. Strangers' connections give way; whoever calls does not.

Bytes go through as they are, in a thread of their own; the server behind it serves on a port of
this host's loopback, and serves nobody who did not come this way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any, Final

from framegate_controller.joinport.connections import Connection, Connections
from framegate_controller.joinport.relay import Relay
from framegate_proto.call_context import Called, InOne, OutlivingContexts, PassedContexts
from framegate_proto.caller_share import CallerShares

EACH_TAKES: Final = 3
"""Descriptors of a connection: towards the peer, and both ends of the way to the server behind."""
BESIDE: Final = 2_048
"""Descriptors for the store's files, the database's connections, the page and what else there is.
"""
END_S: Final = 5.0
OFTEN: Final = ("Begin", "Complete", "Watch")
"""What every machine calls all day, and all of them at once where a controller comes back."""


def descriptors_of(connections: int) -> int:
    """What a controller needs whose fleet port takes so many at once."""
    return EACH_TAKES * connections + BESIDE


class FleetFront:
    """Between the fleet port's listening socket and its server. `start` before the first call.

    A plant may stand behind one address, so one address may have all of its `most` connections: the
    oldest that has no call under way gives way to the next, of the address that has most of such. A
    machine always has one, its watch.
    """

    def __init__(self, listener: socket.socket, most: int) -> None:
        self.connections = Connections(most, most)
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fleet front", daemon=True)
        self._serving: asyncio.Task[None] | None = None

    def interceptor(self, watched: PassedContexts) -> PassedContexts:
        """What every call of the server behind it passes: it came through here, `watched` counts
        it, and its caller has no more under way than its share.
        """
        return InOne(OutlivingContexts(), ThroughFront(self.connections), watched, CallerShares())

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


class FrontContext:
    """A call's context, whose peer is who connected, and not the front."""

    def __init__(self, context: Any, connection: Connection) -> None:
        self._context, self._peer = context, f"{connection.peer}:0"

    def peer(self) -> str:
        """gRPC's name of the peer; its port, which nothing here asks for, is 0."""
        return self._peer

    def auth_context(self) -> Any:
        """What TLS says of the peer."""
        return self._context.auth_context()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class ThroughFront(PassedContexts):
    """Serves calls of connections that came through a front, and of no other; while one lasts, its
    connection gives way to nobody. MUST come after `OutlivingContexts`.
    """

    def __init__(self, connections: Connections) -> None:
        super().__init__(self._calling)
        self._connections = connections

    def _calling(self, context: Any, _called: Called) -> contextlib.AbstractContextManager[Any]:
        return _Calling(context, self._connections.at(context.peer()))


class _Calling:
    """A call that lasts, on its connection."""

    __slots__ = ("_connection", "_context")

    def __init__(self, context: Any, connection: Connection) -> None:
        self._context, self._connection = context, connection

    def __enter__(self) -> FrontContext:
        self._connection.calls += 1
        return FrontContext(self._context, self._connection)

    def __exit__(self, *_error: object) -> None:
        self._connection.calls -= 1
