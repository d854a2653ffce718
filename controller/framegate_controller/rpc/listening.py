"""Sockets to listen on, at ports that a process before may not have left yet."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from typing import Final

import grpc

from framegate.errors import Reason, Unavailable
from framegate_controller.joinport.relay import BACKLOG
from framegate_host.undelayed import undelayed

TAKEN_S: Final = 3.0
"""A controller that was killed leaves a process at the join port, which ends with it, but not
within the microseconds in which a supervisor starts the next.
"""
TAKEN_AGAIN_S: Final = 0.1


async def listen(host: str, port: int) -> socket.socket:
    """A port's socket: whoever accepts from it may die, and another goes on. One that is taken is
    tried again for `TAKEN_S`. Raises Unavailable.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    until_s = time.monotonic() + TAKEN_S
    while True:
        try:
            return undelayed(socket.create_server((host, port), family=family, backlog=BACKLOG))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until_s:
                raise _taken(f"{host}:{port}", error) from error
        await asyncio.sleep(TAKEN_AGAIN_S)


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    """Have `server` listen at `address`; its port. Raises Unavailable."""
    try:
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise _taken(address, error) from error


def _taken(address: str, error: Exception) -> Unavailable:
    hint = "another controller may be running; choose other ports"
    return Unavailable.of(Reason.UNAVAILABLE, f"{address} free to listen on", error, hint)
