"""A file that one process at a time holds, or several that share it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from framegate_host.private_files import open_private


def hold(path: Path, *, shared: bool = False) -> int:
    """The descriptor of `path`, held by this process alone, or with others that share it, until it
    is closed.

    Raises BlockingIOError where another process holds it otherwise; other OSErrors as the system
    has them.
    """
    descriptor = open_private(path)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
