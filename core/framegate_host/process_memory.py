"""Whether other processes of the same user may look into this one (prctl(2), PR_SET_DUMPABLE).

A process that holds keys hides: no debugger attaches, its memory, descriptors and most of /proc/PID
are root's alone, and no core is dumped.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from framegate.errors import Reason, Unavailable

PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
_lock: Final = threading.Lock()


class _Looking:
    """How many are looking now, and whether the process was hidden before the first came."""

    count = 0
    hidden = False


def hide_memory() -> None:
    """Hide this process. Raises Unavailable (UNCONFINED) where the kernel refuses."""
    with _lock:
        if _Looking.count:
            _Looking.hidden = True
        elif not _set(0):
            raise Unavailable.of(Reason.UNCONFINED, "memory that no other process reads", "refused")


@contextmanager
def memory_shown() -> Iterator[None]:
    """Not hidden inside, for as long as this host's agent has to see which program speaks to it
    (/proc/PID/exe): an agent without root's rights reads that of none that hides.
    """
    with _lock:
        if _Looking.count == 0:
            _Looking.hidden = _dumpable() == 0
            if _Looking.hidden:
                _set(1)
        _Looking.count += 1
    try:
        yield
    finally:
        with _lock:
            _Looking.count -= 1
            if _Looking.count == 0 and _Looking.hidden:
                _set(0)


def _set(value: int) -> bool:
    return bool(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, value, 0, 0, 0) == 0)


def _dumpable() -> int:
    return int(ctypes.CDLL(None, use_errno=True).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
