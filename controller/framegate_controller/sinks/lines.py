"""Sinks that are lines of text: a file, and standard output."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from framegate_controller.sinks.delivery import Outgoing, SinkFailed
from framegate_host.private_files import PRIVATE_FILE

FILE: Final = "events.jsonl"
"""In the sink's folder; a log shipper, or logrotate, takes it from there."""
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class FileSink:
    """Appends lines and synchronises them. A line that a crash cut short is taken off first; a file
    that was moved away is begun anew.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._descriptor = -1

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        try:
            self._open()
            _write_all(self._descriptor, b"".join(o.body + b"\n" for o in batch))
            os.fsync(self._descriptor)
        except OSError as error:
            self.close()
            raise SinkFailed(f"{self._path}: {error.strerror or error}") from error

    def close(self) -> None:
        """See `SinkDriver.close`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0 and not self._moved():
            return
        self.close()
        self._descriptor = os.open(self._path, _OPEN, PRIVATE_FILE)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise OSError(0, "not a file")
        self._cut()

    def _moved(self) -> bool:
        mine = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino)

    def _cut(self) -> None:
        """Take off what follows the last end of a line."""
        end = os.fstat(self._descriptor).st_size
        at = end
        while at > 0:
            start = max(0, at - 65_536)
            found_at = os.pread(self._descriptor, at - start, start).rfind(b"\n")
            if found_at >= 0:
                at = start + found_at + 1
                break
            at = start
        if at < end:
            os.ftruncate(self._descriptor, at)


class OutputSink:
    """Writes lines to a descriptor: the controller's standard output."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """See `SinkDriver.deliver`."""
        try:
            _write_all(self._descriptor, b"".join(o.body + b"\n" for o in batch))
        except OSError as error:
            raise SinkFailed(f"standard output: {error.strerror or error}") from error

    def close(self) -> None:
        """Nothing is ours to close."""


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
