"""A sink's process as the controller sees it: how it starts, and what it answers to a batch."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Final, Self

from framegate.errors import Malformed, Reason
from framegate.registry.sink import SinkKind
from framegate_controller.forwarding.cursor import NextBatch
from framegate_controller.sinks.messages import (
    LENGTH_BYTES,
    MAX_MESSAGE,
    Answer,
    SinkSetup,
    batch_message,
)
from framegate_host.child_process import Child, start_module

ANSWER_S: Final = 180.0
"""For a batch: three times what a sink may take for one, as halves of it may be sent again."""
_MODULE: Final = "framegate_controller.sinks.process"


class SinkProcess:
    """A running process of a sink."""

    def __init__(self, child: Child) -> None:
        self._process, self._reader, self._writer = child

    @classmethod
    async def spawn(cls, setup: SinkSetup) -> Self:
        """Start one. Raises OSError."""
        stdout = None if setup.kind == SinkKind.STDOUT else subprocess.DEVNULL
        started = cls(await start_module(_MODULE, stdout=stdout))
        try:
            await started._send(setup.marshal())
        except BaseException:  # cancelled, or it is gone already: nobody else knows it yet
            started.end()
            raise
        return started

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def deliver(self, batch: NextBatch) -> Answer:
        """Its answer to a batch. Raises OSError, EOFError, TimeoutError where it is gone or stuck,
        Malformed for what is no answer to this batch.
        """
        async with asyncio.timeout(ANSWER_S):
            await self._send(batch_message(batch.entries))
            size = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
            if size > MAX_MESSAGE:
                raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_MESSAGE} bytes", size)
            raw = await self._reader.readexactly(size)
        return Answer.parse(raw, batch.first, len(batch.entries))

    def end(self) -> None:
        """End it: what it has not confirmed is sent again."""
        self._writer.close()
        self._process.kill()
        self._process.wait()

    async def _send(self, message: bytes) -> None:
        self._writer.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
        await self._writer.drain()
