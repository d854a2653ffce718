"""Keep a program's threads together on one processor at a time.

Python runs one thread of a program at a time. Where the next one waits on another processor, that
one is woken by an interrupt and finds nothing in its caches; with many short turns this costs more
than the work (docs/scaling.md has figures). On one processor a turn is handed over as cheaply as
a function is called. What a program does outside Python's lock is given up with it: what computes
for long belongs into a process of its own, as models do.

The processor is chosen anew every few seconds, by the kernel: its threads may run anywhere for
a moment, and stay where the kernel has the first of them then. So nobody else's load holds it up
for longer than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)
LOOK_S: Final = 5.0
"""How long a program stays where somebody else may have begun to compute. Choosing costs a
millisecond.
"""
BREATH_S: Final = 0.02
"""For the kernel to put threads where there is room: it looks every 1 to 4 ms."""
_AFTER_NAME: Final = 36
"""Fields of /proc/PID/stat from the state, the first after the program's name, to the processor
that it last ran on (proc_pid_stat(5), fields 3 and 39).
"""


class OneProcessor:
    """This process's threads, and the processors that it was given; `threads` is
    /proc/self/task.
    """

    def __init__(self, threads: Path = Path("/proc/self/task")) -> None:
        self._threads = threads
        self.given = frozenset(os.sched_getaffinity(0))

    def loosen(self) -> None:
        """Let every thread run wherever the process may. Raises OSError."""
        self._set(self.given)

    def settle(self) -> int:
        """Keep every thread, and those that they start, where the first one ran last; that
        processor. Raises OSError.
        """
        stat = (self._threads / str(os.getpid()) / "stat").read_text()
        last = int(stat.rsplit(")", 1)[1].split()[_AFTER_NAME])
        # it may have been taken from us since: then any that is left
        there = last if last in self.given else min(self.given)
        self._set(frozenset({there}))
        return there

    def _set(self, processors: frozenset[int]) -> None:
        for thread in self._threads.iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread.name), processors)


_kept: list[OneProcessor] = []
"""The one that is kept to now, of this process: children must not inherit it."""


@contextlib.contextmanager
def anywhere() -> Iterator[None]:
    """What the calling thread starts inside may run on every processor that this process was
    given.
    """
    if not _kept:
        yield
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _kept[0].given)
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


@contextlib.asynccontextmanager
async def on_one_processor(*, wanted: bool = True) -> AsyncIterator[None]:
    """Keep this process on one processor for as long as the block runs, where it is `wanted`, there
    is more than one, and the kernel lets us; else nothing changes.
    """
    ours = _settled() if wanted else None
    if ours is None:
        yield
        return
    _kept.append(ours)
    choosing = asyncio.create_task(_choose(ours), name="one processor")
    try:
        yield
    finally:
        _kept.remove(ours)
        choosing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await choosing
        with contextlib.suppress(OSError):
            ours.loosen()


def _settled() -> OneProcessor | None:
    """A process that keeps to one processor; None where there is no other, or no kernel for it."""
    ours = OneProcessor()
    if len(ours.given) < 2:
        return None
    try:
        ours.settle()
    except OSError as error:
        log.info("threads stay on all processors: %s", error.strerror)
        return None
    return ours


async def _choose(ours: OneProcessor) -> None:
    """Choose anew for as long as the kernel lets us; then threads stay where it has put them."""
    try:
        while True:
            await asyncio.sleep(LOOK_S)
            ours.loosen()
            await asyncio.sleep(BREATH_S)
            ours.settle()
    except OSError as error:
        log.warning("no processor is chosen any more: %s", error.strerror)
