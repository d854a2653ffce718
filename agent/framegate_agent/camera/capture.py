"""The capture child as the agent sees it: a process without the TPM's address or any secret, that writes frames to a pipe."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
from collections.abc import AsyncIterator
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.wire import MAX_FRAME_BYTES, Captured

log = logging.getLogger(__name__)
_MAX_HEAD: Final = 4096
_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
"""What a capture child inherits of the environment; TCTI strings and tokens are not in it."""


async def captured_frames(source: str, *, part_type: str, rate: float, repeat: bool) -> AsyncIterator[tuple[Captured, bytes]]:
    """Frames of `source` from a child process; ends when the child does. Raises Malformed on a child that does not keep the protocol."""
    if source.startswith("exec:"):
        argv = shlex.split(source.removeprefix("exec:"))
    else:
        argv = [sys.executable, "-m", "framegate_agent.camera.sources", source, "--part-type", part_type, "--rate", str(rate)]
        argv += ["--repeat"] if repeat else []
    environment = {k: os.environ[k] for k in _KEPT_VARIABLES if k in os.environ}
    child = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=environment, close_fds=True)
    if child.stdout is None:
        raise RuntimeError("the child has no standard output")
    try:
        while True:
            try:
                size = int.from_bytes(await child.stdout.readexactly(4), "big")
            except asyncio.IncompleteReadError:
                return
            if size > _MAX_HEAD:
                raise Malformed.of(Reason.TOO_LARGE, f"a head of at most {_MAX_HEAD} bytes from the capture child", size)
            head = Captured.parse(await child.stdout.readexactly(size))
            if head.size > MAX_FRAME_BYTES:
                raise Malformed.of(Reason.TOO_LARGE, f"a frame of at most {MAX_FRAME_BYTES} bytes", head.size)
            yield head, await child.stdout.readexactly(head.size)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        log.info("capture child of %s ended with %s", source, child.returncode)
