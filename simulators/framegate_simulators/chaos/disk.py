"""A small disk of a forked child's own: a tmpfs in a mount namespace that ends with it. It fills up
and becomes read-only as a real one does.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Final

_CLONE_NEWNS: Final = 0x00020000
_RDONLY, _REMOUNT, _REC, _PRIVATE = 1, 1 << 5, 1 << 14, 1 << 18
_DETACH: Final = 2
LARGE: Final = 64 << 20
"""Room for every run."""


@cache
def possible() -> bool:
    """Whether this process may make one: a fork of it tries, once."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        _call("unshare", _CLONE_NEWNS)
    except OSError:
        os._exit(1)
    os._exit(0)


def own_mounts() -> None:
    """From now on this thread and what it starts mount for themselves alone. Raises OSError where
    that is not allowed.
    """
    _call("unshare", _CLONE_NEWNS)
    _mount("none", Path("/"), "", _REC | _PRIVATE, "")


class SmallDisk:
    """At `folder`, seen by this process and its children alone; `shared`: among mounts that are its
    own already (`own_mounts`). Raises OSError where it may not mount.
    """

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if not shared:
            own_mounts()
        _mount("tmpfs", folder, "tmpfs", 0, f"size={LARGE},mode=0700")

    def remove(self) -> None:
        """Take it away, whoever has files of it open."""
        _call("umount2", os.fsencode(self.folder), _DETACH)

    def leave(self, room: int) -> None:
        """Fill it, but for so many bytes."""
        stat = os.statvfs(self.folder)
        used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
        _mount("tmpfs", self.folder, "tmpfs", _REMOUNT, f"size={used + room}")

    def empty(self) -> None:
        """Make room."""
        _mount("tmpfs", self.folder, "tmpfs", _REMOUNT, f"size={LARGE}")

    def writable(self, *, may: bool) -> None:
        """Whether anything may be written; nothing may be open to be written meanwhile."""
        _mount("tmpfs", self.folder, "tmpfs", _REMOUNT | (0 if may else _RDONLY), f"size={LARGE}")


def _mount(source: str, target: Path, kind: str, flags: int, data: str) -> None:
    texts = (source.encode(), os.fsencode(target), kind.encode(), flags, data.encode())
    _call("mount", *texts)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
