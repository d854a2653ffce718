"""A file that one process at a time holds."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from framegate_host.private_files import PRIVATE_FILE


def hold(path: Path) -> int:
    """The descriptor of `path`, held by this process alone until it is closed.

    Raises BlockingIOError where another process holds it; other OSErrors as the system has them.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
