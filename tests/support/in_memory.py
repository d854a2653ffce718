"""The files of a run in memory instead of on a disk: its thousands of databases are flushed with
every commit, and nobody reads them afterwards.
"""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
LEAST_FREE: Final = 4 << 30
"""Bytes. What one run holds at a time is below 1 GiB: folders of tests that passed are taken away
at once. Less is usual in containers (64 MiB), which have a disk for it.
"""
PREFIX: Final = "fg."
"""Short: a socket's path has room for 107 bytes."""
MOST_RUNS: Final = 100
"""At a time, of everybody on this machine; two digits are as long as a socket's path allows."""
NEW_S: Final = 60
"""A younger folder's run may be about to lock it."""


def folder_in_memory() -> Path | None:
    """A new folder; None where somebody named another by TMPDIR, or where memory is too small, or
    would not run a test's program. What stands in it is private by itself: others may pass through,
    for the tests in which they try.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return None
    of = os.statvfs(MEMORY)
    if of.f_bavail * of.f_frsize < LEAST_FREE or of.f_flag & os.ST_NOEXEC:
        return None
    _forget_runs_that_ended()
    folder = _made()
    if folder is None:
        return None
    folder.chmod(0o711)
    # held until this process ends, and seen in whatever namespace another run looks from
    fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)
    return folder


def _made() -> Path | None:
    """A folder of the shortest name that is free; None where too many are left of other people."""
    for number in range(MOST_RUNS):
        folder = MEMORY / f"{PREFIX}{number}"
        try:
            folder.mkdir(0o700)
        except FileExistsError:
            continue
        return folder
    return None


def put_files_of_this_run_into(folder: Path) -> None:
    """For this process, its workers and whatever they start."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _forget_runs_that_ended() -> None:
    """Files of a run that failed stay to be looked at until the next one."""
    for left in MEMORY.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # its run has ended just now, and took it away itself
            of = left.lstat()
            if of.st_uid == os.getuid() and time.time() - of.st_ctime > NEW_S:
                _take_away(left)


def _take_away(left: Path) -> None:
    """Unless somebody holds the folder, whose run is not over. It is held meanwhile, and looked at
    once more: of two runs that begin at once, one takes away and makes anew under the same name.
    """
    try:
        seen = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(seen, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(seen), left.lstat()):
            shutil.rmtree(left, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(seen)
