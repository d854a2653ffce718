"""The inference child as a process: how it starts, and the messages over its socket, each a JSON
head and bytes.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
from typing import Any, Self

from framegate_gateway.inference.answers import Asked, parse_head, verify_sizes
from framegate_gateway.inference.worker import UNCONFINED
from framegate_host.child_process import OWN_PYTHON, inherited_environment, open_socket_of


class InferenceChild:
    """A running child (`worker`) and the parent's end of its socket."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def spawn(cls, threads: int, *, unconfined: bool = False) -> Self:
        """Start a child; it waits for its model. Its standard input is its end of the socket."""
        ours, theirs = socket.socketpair()
        argv = [
            *OWN_PYTHON,
            "-m",
            "framegate_gateway.inference.worker",
            str(threads),
            *([UNCONFINED] if unconfined else []),
        ]
        process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and nothing is waited for
            argv,
            env=inherited_environment(),
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        reader, writer = await open_socket_of(process, ours)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def send(self, head: dict[str, Any], body: tuple[bytes, ...]) -> None:
        """Send one message. Raises OSError where the child is gone."""
        raw = json.dumps(head).encode()
        self._writer.write(struct.pack(">II", len(raw), sum(map(len, body))) + raw)
        for part in body:
            if part:
                self._writer.write(part)
        await self._writer.drain()

    async def receive(self, asked: Asked | None) -> tuple[dict[str, Any], bytes]:
        """The next message, no longer than an answer to `asked` may be (None: the first). Raises
        EOFError or OSError where the child is gone, BadAnswer.
        """
        head_size, body_size = struct.unpack(">II", await self._reader.readexactly(8))
        verify_sizes(asked, head_size, body_size)
        answer = parse_head(await self._reader.readexactly(head_size))
        return answer, await self._reader.readexactly(body_size)

    def kill(self) -> None:
        """End the child at once."""
        self._writer.close()
        self._process.kill()
        self._process.wait()
