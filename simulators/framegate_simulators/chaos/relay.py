"""Links between two programs, and between a program and its TPM, that can be cut, slowed, made to
lose and to hang. They run in a thread of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

MOST: Final = 65_536
DELAY_S: Final = 0.15
LOSS: Final = 0.1
SLOW_BYTES: Final = 65_536
"""What a slow link carries a second: a frame takes some seconds, a verdict none that shows."""
AGAIN_S: Final = (0.2, 0.8)
"""After which TCP sends again what was lost: twice at most, here."""
LOOK_S: Final = 0.02
COMMAND_S: Final = (0.2, 0.6)
"""What a discrete TPM takes to sign; a slow one is simulated to take it for every command."""


class Mode(StrEnum):
    """What a link does to what comes."""

    WHOLE = "whole"
    CUT = "cut"
    DELAY = "delay"
    LOSS = "loss"
    HALF_OPEN = "half-open"
    ONE_WAY = "one way"
    RETRY = "retry"
    LOCKOUT = "lockout"
    HANGS = "hangs"
    SLOW = "slow"


_ANSWERS: Final = {Mode.RETRY: 0x922, Mode.LOCKOUT: 0x921}
"""TPM_RC_RETRY and TPM_RC_LOCKOUT (TPM 2.0 Part 2, 6.6.3)."""
_NO_SESSIONS: Final = 0x8001
_HEADER: Final = 10


class Relays:
    """The thread, and how to make links in it. Use as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="relays")

    def __enter__(self) -> Relays:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        """No link is served any more: nobody is left who waits at one."""
        for server in self._servers:
            server.close()
        links = asyncio.all_tasks() - {asyncio.current_task()}
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def tcp(self, host: str, port: int, to: tuple[str, int]) -> Relay:
        """A link that listens at `host` and `port`, 0 for any, and goes to `to`."""
        link = Relay(lambda: asyncio.open_connection(*to))
        server = self._run(asyncio.start_server(link.serve, host, port))
        self._servers.append(server)
        link.port = int(server.sockets[0].getsockname()[1])
        return link

    def unix(self, path: Path, to: Path, *, tpm: bool = False) -> Relay:
        """A link between sockets; of a TPM, whose answers it may give itself."""
        path.unlink(missing_ok=True)
        kind = TpmRelay if tpm else Relay
        link = kind(lambda: asyncio.open_unix_connection(str(to)))
        self._servers.append(self._run(asyncio.start_unix_server(link.serve, str(path))))
        return link

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


Reach = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Relay:
    """One link. `mode` may be set from any thread."""

    def __init__(self, reach: Reach) -> None:
        self.port = 0
        self._reach, self._mode = reach, Mode.WHOLE
        self._open: set[asyncio.StreamWriter] = set()
        self._chance = random.Random(1)

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == Mode.CUT:
            for writer in list(self._open):
                with contextlib.suppress(OSError):  # its loop has closed it meanwhile
                    writer.get_extra_info("socket").shutdown(2)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection, until either side ends it."""
        there: asyncio.StreamWriter | None = None
        self._open.add(writer)
        try:
            while self._mode == Mode.HALF_OPEN:  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(LOOK_S)
            if self._mode == Mode.CUT:
                return
            back, there = await self._reach()
            self._open.add(there)
            await self._both(reader, writer, back, there)
        except OSError:
            pass  # an end went away: so does the other
        finally:
            for each in filter(None, (writer, there)):
                self._open.discard(each)
                with contextlib.suppress(OSError):
                    each.close()

    async def _both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        there: asyncio.StreamWriter,
    ) -> None:
        ways = [
            asyncio.ensure_future(self._way(reader, there, up=True)),
            asyncio.ensure_future(self._way(back, writer, up=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        while data := await reader.read(MOST):
            if self._mode == Mode.DELAY:
                await asyncio.sleep(DELAY_S)
            elif self._mode == Mode.LOSS and self._chance.random() < LOSS:
                await asyncio.sleep(self._chance.uniform(*AGAIN_S))
            elif self._mode == Mode.SLOW:
                await asyncio.sleep(len(data) / SLOW_BYTES)
            while self._holds(up=up):  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(LOOK_S)
            writer.write(data)
            await writer.drain()

    def _holds(self, *, up: bool) -> bool:
        return self._mode == Mode.HALF_OPEN or (self._mode == Mode.ONE_WAY and not up)


class TpmRelay(Relay):
    """The command channel of a TPM: an answer for each command, sometimes one of its own; it
    counts `commands`.
    """

    def __init__(self, reach: Reach) -> None:
        super().__init__(reach)
        self.commands = 0

    async def _both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        there: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                command = await _message(reader)
                self.commands += 1
                if self._mode == Mode.SLOW:
                    await asyncio.sleep(self._chance.uniform(*COMMAND_S))
                while self._mode == Mode.HANGS:  # noqa: ASYNC110 - set by another thread
                    await asyncio.sleep(LOOK_S)
                code = _ANSWERS.get(self._mode)
                if code is not None:
                    writer.write(
                        _NO_SESSIONS.to_bytes(2, "big")
                        + _HEADER.to_bytes(4, "big")
                        + code.to_bytes(4, "big")
                    )
                else:
                    there.write(command)
                    writer.write(await _message(back))
                await writer.drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A command or a response: tag, size of the whole, the rest (TPM 2.0 Part 1, 18)."""
    header = await reader.readexactly(_HEADER)
    return header + await reader.readexactly(int.from_bytes(header[2:6], "big") - _HEADER)
