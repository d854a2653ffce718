"""How a program that serves is run, and how it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from framegate.errors import FramegateError
from framegate_host.allocator import settle_allocator
from framegate_host.service_manager import NOBODY, ServiceManager

log = logging.getLogger(__name__)
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""A service manager's word, and Ctrl-C."""


def run_service(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, under an allocator for programs that run for months. Of our errors out
    of task groups, the first comes out alone.

    What `work` leaves in circles goes before this returns. gRPC's servers and channels are among
    it, and with the last of them the thread that waits for gRPC's events: one that is still there
    when the interpreter ends is cut off inside a library of C++, and may end the program by a
    signal.
    """
    settle_allocator()
    try:
        asyncio.run(work)
    except* FramegateError as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    finally:
        gc.collect()


async def ended_within(seconds: float, *ends: Coroutine[Any, Any, Any]) -> None:
    """Await all of `ends` beside each other. What takes longer is cancelled, and what fails is
    logged: neither keeps the others from their end.
    """
    tasks = [asyncio.ensure_future(end) for end in ends]
    done, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        log.warning("%s is not at its end after %g s: cut off", task.get_coro(), seconds)
        task.cancel()
    for task in done:
        if (error := task.exception()) is not None:
            log.error("an end that failed", exc_info=error)


async def until_stopped(
    work: Coroutine[Any, Any, Any],
    *,
    manager: ServiceManager = NOBODY,
    drain: Callable[[], Coroutine[Any, Any, None]] | None = None,
    reload: Callable[[], None] | None = None,
) -> None:
    """Await `work`; a stop signal cancels it, and that is no error.

    With `drain`, what is under way is finished first: `work` goes on while it runs. A second signal
    ends that as well. SIGHUP calls `reload`. The `manager` is told of each.
    """
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    ending: list[asyncio.Task[None]] = []

    async def finish(draining: Coroutine[Any, Any, None]) -> None:
        try:
            await draining
        except Exception:  # the end comes all the same
            log.exception("what was under way is not finished")
        finally:
            task.cancel()

    def stop() -> None:
        manager.stopping("finishing what is under way")
        if drain is None or ending:
            task.cancel()
        else:
            ending.append(loop.create_task(finish(drain())))

    def again() -> None:
        manager.reloading()
        if reload is not None:
            reload()
        manager.ready("settings were read again")

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, again)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for draining in ending:
        draining.cancel()
