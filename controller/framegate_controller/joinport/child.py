"""The join port's process as the controller sees it: how it starts, and its line."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import Final, Self

from framegate_controller.joinport.messages import MAX_TO_CONTROLLER, PortCall, PortSetup
from framegate_host.child_process import inherited_environment, open_socket_of
from framegate_proto.edge import read_record, write_record

_GO_S: Final = 3.0


class PortProcess:
    """A running process at the join port."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def spawn(cls, listener: socket.socket, setup: PortSetup) -> Self:
        """Start one that accepts from `listener`. Raises OSError."""
        opening = setup.marshal()
        ours, theirs = socket.socketpair()
        numbers = [listener.fileno(), theirs.fileno()]
        module = "framegate_controller.joinport.process"
        process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and nothing is waited for
            [sys.executable, "-m", module, *map(str, numbers)],
            pass_fds=numbers,
            env=inherited_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        reader, writer = await open_socket_of(process, ours)
        write_record(writer, opening)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def next(self) -> PortCall:
        """What it asks for next. Raises EOFError, OSError where it is gone, Malformed."""
        return PortCall.parse(await read_record(self._reader, MAX_TO_CONTROLLER, "a call"))

    async def send(self, record: bytes) -> None:
        """Tell it something. Raises OSError where it is gone."""
        write_record(self._writer, record)
        await self._writer.drain()

    def kill(self) -> None:
        """End it as it stands; one that was stopped ends by this alone."""
        self._process.kill()

    def end(self) -> None:
        """Let it end by itself, and if it does not, end it."""
        self._writer.close()
        self._process.terminate()
        try:
            self._process.wait(_GO_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
