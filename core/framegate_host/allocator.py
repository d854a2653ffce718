"""glibc's allocator, told how daemons use memory (mallopt(3)).

A gateway takes large frames in many threads and lets go of them at once. By default glibc gives
each thread a heap of its own, and raises the size from which memory is the kernel's with every
large block that is freed: frames then leave holes in heaps that stay resident.
"""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
LARGE_BYTES: Final = 64 * 1024
"""From this size on a block is the kernel's own, and goes back to it when it is freed: frames are
larger, what is kept is not.
"""
HEAPS: Final = 2
"""For all threads: Python runs one at a time, a second heap is for those that wait on no lock."""


def settle_allocator() -> bool:
    """Set it for this process; False where the C library has no such thing, and nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_MMAP_THRESHOLD, LARGE_BYTES), (M_ARENA_MAX, HEAPS))
    return all(mallopt(name, value) == 1 for name, value in settings)
