"""How a program that serves is run, and how it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from framegate.errors import FramegateError, Reason, Unavailable
from framegate_host.allocator import settle_allocator
from framegate_host.cycles import looked_for_rarely
from framegate_host.service_manager import NOBODY, ServiceManager

log = logging.getLogger(__name__)
E = TypeVar("E", bound=BaseException)
_ITS_FILES: Final = "the files and connections that it began with"
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""A service manager's word, and Ctrl-C."""
_POLLER: Final = "_poll_wrapper"
"""In the name of the thread in which gRPC's asyncio waits for its events."""
_POLLER_ENDS_S: Final = 2.0
"""A thread that was told to end needs the interpreter once more: microseconds, or a busy machine's
moment. One whose queue something still holds was not told, and is waited for no longer."""


def run_service(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, under an allocator for programs that run for months, and with cycles
    looked for rarely. Of our errors out of task groups, the first comes out alone; of the system's,
    raised while it ran, what it says as Unavailable: a folder that was removed under it is no fault
    of the program, and a service manager starts it again.

    What `work` leaves in circles goes before this returns. gRPC's servers and channels are among
    it, and with the last of them the thread that waits for gRPC's events: one that is still there
    when the interpreter ends is cut off inside a library of C++, and may end the program by a
    signal. It is awaited here: gRPC waits a fifth of a second, which a busy machine outlasts.
    """
    before = set(threading.enumerate())
    settle_allocator()
    try:
        with looked_for_rarely():
            _run(work)
    except BaseExceptionGroup as group:
        of_system, others = group.split(OSError)
        if of_system is None or others is not None:
            raise
        first = _first(of_system)
        log.debug("the system's fault", exc_info=group)
        where = f"{os.fsdecode(first.filename)}: " if first.filename is not None else ""
        seen = f"{where}{first.strerror or first}"
        hint = "was its folder removed, or its disk? put it back, and start this again"
        raise Unavailable.of(Reason.UNAVAILABLE, _ITS_FILES, seen, hint) from group
    finally:
        gc.collect()
        _await_pollers(before)


def _await_pollers(but: set[threading.Thread]) -> None:
    until = time.monotonic() + _POLLER_ENDS_S
    for thread in set(threading.enumerate()) - but:
        if _POLLER in thread.name:
            thread.join(max(0.0, until - time.monotonic()))


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except* FramegateError as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[E]) -> E:
    """The first error in a group of groups."""
    first: BaseExceptionGroup[E] | E = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


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
