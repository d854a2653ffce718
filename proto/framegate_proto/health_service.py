"""gRPC's own health service (grpc.health.v1) beside a program's services, for whoever may open the
port at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from framegate_proto.call_waiting import waited_together

log = logging.getLogger(__name__)
LOOK_S: Final = 1.0
"""Between two looks at whether the program is ready."""
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthService:
    """Says SERVING while `ready` does, of the server as a whole (the service with no name), and of
    further services by their names.
    """

    def __init__(
        self, ready: Callable[[], bool], services: Mapping[str, Callable[[], bool]] | None = None
    ) -> None:
        self._asked = {"": ready, **(services or {})}
        self._servicer = health.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Answer on this server too."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, waited_together(server))

    @contextlib.asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Keep what it says up to date meanwhile."""
        await self._tell()
        task = asyncio.create_task(self._keep_telling(), name="health")
        try:
            yield
        finally:
            task.cancel()
            for name in self._asked:
                await self._servicer.set(name, _NOT_SERVING)

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._tell()
            except Exception:  # what cannot be told is not ready, and is told again
                log.exception("health cannot be told")
                await self._servicer.set("", _NOT_SERVING)

    async def _tell(self) -> None:
        for name, ready in self._asked.items():
            serves = await asyncio.to_thread(ready)
            await self._servicer.set(name, _SERVING if serves else _NOT_SERVING)
