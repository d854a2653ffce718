"""Loopback addresses to come from: a controller counts by address, and attackers, and whoever is
sound, do not all live at one.

gRPC's clients cannot choose where they come from, so a thread passes their bytes on from there.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

LOOPBACK: Final = "127.0.0.1"
CHUNK: Final = 64 * 1024
_FIRST: Final = (127, 64)
"""Half of a loopback address; the other half is counted, in what nobody else here comes from."""
T = TypeVar("T")


class Sources:
    """Addresses, each given out once, and ways from them to ports of this host's loopback."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._ways: dict[tuple[str, int], int] = {}
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def new(self) -> str:
        """An address from which nobody came so far."""
        high, low = divmod(next(self._numbers), 254)
        return f"{_FIRST[0]}.{_FIRST[1]}.{high}.{low + 1}"

    def way(self, source: str, port: int) -> int:
        """A port of this host's loopback; whoever connects there arrives at `port` as from
        `source`.
        """
        if (source, port) not in self._ways:
            self._ways[source, port] = self._done(self._open(source, port))
        return self._ways[source, port]

    def close(self) -> None:
        """End every way."""
        self._done(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, source: str, port: int) -> int:
        async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                inward, outward = await asyncio.open_connection(
                    LOOPBACK, port, local_addr=(source, 0)
                )
            except OSError:
                writer.transport.abort()
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(_copied(reader, outward))
                group.create_task(_copied(inward, writer))

        server = await asyncio.start_server(passed_on, LOOPBACK, 0, family=socket.AF_INET)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes from one to the other until either ends, which then ends both."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
