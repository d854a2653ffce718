"""The join port's process as the controller sees it: how it starts, and its line."""

from __future__ import annotations

import socket
from typing import Final, Self

from framegate_controller.joinport.messages import MAX_TO_CONTROLLER, PortCall, PortSetup
from framegate_host.child_process import UNCONFINED, Child, end_child, start_module
from framegate_proto.edge import read_record, write_record

_MODULE: Final = "framegate_controller.joinport.process"


class PortProcess:
    """A running process at the join port."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._process, self._reader, self._writer = child

    @classmethod
    async def spawn(
        cls, listener: socket.socket, setup: PortSetup, *, unconfined: bool = False
    ) -> Self:
        """Start one that accepts from `listener`. Raises OSError."""
        opening, words = setup.marshal(), [UNCONFINED] * unconfined
        child = await start_module(_MODULE, [listener.fileno()], words=words)
        write_record(child.writer, opening)
        return cls(child)

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
        end_child(self._child)
