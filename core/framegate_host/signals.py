"""How a program that serves is run, and how it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any, Final

from framegate.errors import FramegateError
from framegate_host.allocator import settle_allocator

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""A service manager's word, and Ctrl-C."""


def run_service(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, under an allocator for programs that run for months. Of our errors out
    of task groups, the first comes out alone.
    """
    settle_allocator()
    try:
        asyncio.run(work)
    except* FramegateError as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def until_stopped(work: Coroutine[Any, Any, Any]) -> None:
    """Await `work`; a stop signal cancels it, and that is no error."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
