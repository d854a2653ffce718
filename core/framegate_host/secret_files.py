"""Secrets that somebody put into a file for a program: passwords, PINs, tokens.

A file that everybody on the machine reads keeps no secret, whatever is encrypted behind it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Refused

MAX_SECRET: Final = 64 * 1024
"""Bytes: a password is a line, a key some kilobytes."""
OPEN: Final = stat.S_IRWXO | stat.S_IWGRP
"""What nobody beside the owner may: others nothing, the group no writing. The group may read, for
files of root that a service's own group is let into.
"""


def read_secret(path: Path) -> bytes:
    """What the file says, without white space around it.

    1. it is a file, and not larger than `MAX_SECRET`; 2. not everybody may read it, and nobody but
    its owner write it (N192), looked at on the very file that is read. Raises OSError as the system
    has it, Refused (USAGE).
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        there = os.fstat(file.fileno())
        if not stat.S_ISREG(there.st_mode) or there.st_size > MAX_SECRET:  # 1
            wanted = f"a file of at most {MAX_SECRET} bytes at {path}"
            raise Refused.of(Reason.USAGE, wanted, f"{there.st_size} bytes or no file")
        if there.st_mode & OPEN:  # 2
            wanted = f"a secret that its owner alone reads in {path}"
            seen = f"mode {stat.S_IMODE(there.st_mode):o}: everybody reads it, or others write it"
            raise Refused.of(Reason.USAGE, wanted, seen, f"chmod 600 {path}, and change the secret")
        return file.read(MAX_SECRET).strip()
