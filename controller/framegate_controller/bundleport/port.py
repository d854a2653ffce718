"""The bundle's port as the controller sees it: its process, and another where that one ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

from framegate.errors import Reason, Unavailable
from framegate_controller.bundleport.messages import LENGTH_BYTES, READY, BundleSetup
from framegate_host.child_process import UNCONFINED, Child, end_child, start_module

log = logging.getLogger(__name__)
START_S: Final = 20.0
"""For an interpreter to start on a machine that is busy."""
AGAIN_S: Final = 2.0
"""Before another takes the place of one that ended."""
RENEWED_S: Final = 3600.0
"""Between two looks whether what it holds is to be another: certificates live for weeks."""
LOOK_S: Final = 5.0
"""Between two looks whether a process is there whose line has not ended."""
_MODULE: Final = "framegate_controller.bundleport.process"


class BundleEndpoint:
    """Serves one document. `start` returns once it is served. `setup` is asked for what is to be
    served now; where that is another, so is the process. Whoever was being answered asks again.
    """

    def __init__(
        self, listener: socket.socket, setup: Callable[[], BundleSetup], *, unconfined: bool = False
    ) -> None:
        """`unconfined`: serve it though the kernel cannot confine the process."""
        self._listener, self._setup, self._told = listener, setup, b""
        self._words = [UNCONFINED] * unconfined
        self._child: Child | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where."""
        return int(self._listener.getsockname()[1])

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.process.pid if self._child is not None else 0

    async def start(self) -> None:
        """Raises Unavailable where its process does not serve."""
        try:
            await self._spawn()
        except (OSError, EOFError, TimeoutError) as error:
            wanted = "a process that serves the bundle's port"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, type(error).__name__) from error
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        self._end()
        self._listener.close()

    async def _spawn(self) -> None:
        child = self._child = await start_module(
            _MODULE, [self._listener.fileno()], words=self._words
        )
        message = self._told = self._setup().marshal()
        child.writer.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
        async with asyncio.timeout(START_S):
            await child.reader.readexactly(len(READY))

    async def _keep(self) -> None:
        while True:
            if self._child is not None and await self._outlived(self._child):
                self._end()
                log.info("the bundle's port gets its next certificate")
            else:
                self._end()
                log.error("the process at the bundle's port is gone; another starts")
                await asyncio.sleep(AGAIN_S)
            try:
                await self._spawn()
            except (OSError, EOFError, TimeoutError):
                log.exception("the bundle's port is not served")

    async def _outlived(self, child: Child) -> bool:
        """Returns once `child` has to make place: for what it holds, True, or as it is gone."""
        while self._setup().marshal() == self._told:
            if await _is_over(child, RENEWED_S):
                return False
        return True

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            end_child(child)


async def _is_over(child: Child, within_s: float) -> bool:
    """Whether it ended within so long: its line did, or it did, for others may hold its line
    (N236).
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while loop.time() < until:
        try:
            async with asyncio.timeout(LOOK_S):
                await child.reader.read(1)  # it says nothing more: this is its end
        except TimeoutError:
            if child.process.poll() is None:
                continue
        except OSError:
            pass
        return True
    return False
