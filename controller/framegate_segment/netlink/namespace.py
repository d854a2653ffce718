"""The network namespace whose packets are filtered: this process's own, or one by its file, as
ip-netns(8) keeps them. Only sockets and programs that are made while it is entered are in it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Unavailable

_CLONE_NEWNET: Final = 0x40000000
_OWN: Final = Path("/proc/thread-self/ns/net")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace; without a file, the one this process is in."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    @contextmanager
    def entered(self) -> Iterator[None]:
        """For the calling thread, and what it starts, until the end of the block. Raises
        Unavailable: no such namespace, or no CAP_SYS_ADMIN.
        """
        if self._file is None:
            yield
            return
        try:
            own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unavailable(_OWN, error) from error
        try:
            self._enter()
            try:
                yield
            finally:
                _set(own, _OWN)
        finally:
            os.close(own)

    def _enter(self) -> None:
        file = self._file or _OWN
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unavailable(file, error) from error
        try:
            _set(descriptor, file)
        finally:
            os.close(descriptor)


def _set(descriptor: int, file: Path) -> None:
    """setns(2); Python has it from 3.12 on."""
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise _unavailable(file, OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))


def _unavailable(file: Path, error: OSError) -> Unavailable:
    expected = f"the network namespace {file}, and CAP_SYS_ADMIN to enter it"
    return Unavailable.of(Reason.UNAVAILABLE, expected, error.strerror or error)
