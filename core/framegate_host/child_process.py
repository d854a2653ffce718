"""What every process that a program starts of itself has in common: what it inherits of the
environment, and the parent's end of a socket to it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from framegate_host.one_processor import anywhere

KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
"""What a child finds its interpreter and our packages by; TCTI strings and tokens are not in it."""
OWN_PYTHON: Final = (sys.executable, "-P")
"""Our interpreter. Without -P, `-m` would look for modules in the folder that a program was started
in first, where others may have put some (N221).
"""
GO_S: Final = 3.0
"""For a child that is told to end; it has nothing to write down."""
UNCONFINED: Final = "--unconfined"
"""The word that has a child serve though the kernel cannot confine it."""
_LINE_BYTES: Final = 2**20
"""How much of what a child says is buffered before it has to wait."""


def inherited_environment() -> dict[str, str]:
    """The variables that a child gets of ours."""
    return {k: os.environ[k] for k in KEPT_VARIABLES if k in os.environ}


class Child(NamedTuple):
    """A process of ours that was started, and our end of the socket to it."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def end_child(child: Child) -> None:
    """Let it end by itself, and where it does not in `GO_S`, end it. Blocks as long."""
    child.writer.close()
    child.process.terminate()
    try:
        child.process.wait(GO_S)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()


async def start_module(
    module: str,
    passed: Sequence[int] = (),
    stdout: int | None = subprocess.DEVNULL,
    words: Sequence[str] = (),
) -> Child:
    """Run `module` as a process that gets the descriptors `passed` and its end of a socket to us;
    their numbers, in this order, are its arguments, and `words` after them. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        numbers = [*passed, theirs.fileno()]
        with anywhere():
            process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and nothing is waited for
                [*OWN_PYTHON, "-m", module, *map(str, numbers), *words],
                pass_fds=numbers,
                env=inherited_environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
            )
    reader, writer = await open_socket_of(process, ours)
    return Child(process, reader, writer)


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
