"""Files and folders that only their owner can read, from the first byte on."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""A file of our own making: nobody waits in its place with a file, or a link to one, of theirs."""


def private_folder(path: Path) -> Path:
    """`path` as a folder, made if there is none; one that is there keeps its mode."""
    path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    return path


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `data`: a reader, or a crash, sees old content or new, never a part.

    It survives a power cut once this returns; not where `durable` is false, for what is written
    anew every few seconds. A link at `path` is replaced, never followed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        _write(temporary, data, durable=durable)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def make_private(path: Path, data: bytes) -> None:
    """Write `data` at `path`, where nothing is. Raises FileExistsError where something is."""
    _write(path, data, durable=True)


def append_private(path: Path) -> int:
    """A descriptor that appends to `path`. A link is followed: the file may be a person's own.

    Whoever appends secrets MUST do so in a private folder.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.open(path, flags, PRIVATE_FILE)


def touch_private(path: Path) -> None:
    """Make an empty file at `path` unless there is one: for what a library opens by name later."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))


def _write(path: Path, data: bytes, *, durable: bool) -> None:
    with os.fdopen(os.open(path, _NEW, PRIVATE_FILE), "wb") as out:
        out.write(data)
        if durable:
            out.flush()
            os.fsync(out.fileno())


def _sync_folder(folder: Path) -> None:
    """The name is in the folder, so that has to reach the disk as well.

    Some network file systems cannot do that and say so; the content is on disk by now.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
