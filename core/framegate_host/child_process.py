"""What every process that a program starts of itself has in common: what it inherits of the
environment, and the parent's end of a socket to it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from typing import Final

KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
"""What a child finds its interpreter and our packages by; TCTI strings and tokens are not in it."""
_LINE_BYTES: Final = 2**20
"""How much of what a child says is buffered before it has to wait."""


def inherited_environment() -> dict[str, str]:
    """The variables that a child gets of ours."""
    return {k: os.environ[k] for k in KEPT_VARIABLES if k in os.environ}


async def open_socket_of(
    process: subprocess.Popen[bytes], ours: socket.socket
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Our end of the socket to a child that was just started; where that fails, or is cancelled,
    the child is ended: nobody else knows it yet. Raises OSError.
    """
    try:
        return await asyncio.open_connection(sock=ours, limit=_LINE_BYTES)
    except BaseException:
        process.kill()
        process.wait()
        raise
