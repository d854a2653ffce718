"""The one place that makes files and folders: their owner's alone, from the first byte on.

What everybody may read is made here as well, by a name that says so. A file is never made first and
closed to others afterwards: in between, others could have opened it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pwd
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from framegate.errors import Reason, Refused, Unavailable

log = logging.getLogger(__name__)
PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
PUBLIC_FILE: Final = 0o644
PUBLIC_FOLDER: Final = 0o755
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""A file of our own making: nobody waits in its place with a file, or a link to one, of theirs."""
_APPEND: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def private_folder(path: Path) -> Path:
    """`path` as a folder. What is missing of it is made, its owner's alone; what is there keeps its
    mode.
    """
    _make(path, PRIVATE_FOLDER)
    return path


def public_folder(path: Path) -> Path:
    """The same for a folder whose content is everybody's to read."""
    _make(path, PUBLIC_FOLDER)
    return path


def state_folder(path: Path) -> Path:
    """A program's own folder, its owner's alone: made so, or made so now, with a warning.

    Raises Refused (USAGE) for one that is not ours, or that everybody puts files into; OSError as
    the system has it. What another user keeps is no state of ours, root's neither: whoever took
    that user over would have root open their links and run what their files name (N223).
    """
    _make(path, PRIVATE_FOLDER)
    return closed_folder(path)


def closed_folder(path: Path) -> Path:
    """The same for a folder that is there, for whoever reads it and must not make one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        there = os.fstat(descriptor)
        mode = stat.S_IMODE(there.st_mode)
        if there.st_uid != os.geteuid():
            wanted = f"{path} of the user who runs this, uid {os.geteuid()}"
            hint = f"run it as its owner: runuser -u {_user(there.st_uid)} -- …"
            raise Refused.of(Reason.USAGE, wanted, f"{mode:o}, of uid {there.st_uid}", hint)
        if not mode & OTHERS:
            return path
        if mode & stat.S_ISVTX:
            wanted, hint = f"{path} for its owner alone", f"chmod 700 {path}, or name a folder"
            raise Refused.of(Reason.USAGE, wanted, f"{mode:o}, of uid {there.st_uid}", hint)
        os.fchmod(descriptor, PRIVATE_FOLDER)
    finally:
        os.close(descriptor)
    log.warning("%s was open to others (%o); it is its owner's alone now", path, mode)
    return path


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _unlinked(path: Path) -> int:
    """O_NOFOLLOW for a file in another user's folder: what lies there is theirs to replace by a
    link to anything (N223). In our own folder, or root's, a link was made by whoever may.
    """
    try:
        owner = path.parent.stat().st_uid
    except OSError:
        return 0  # the open that follows says what is wrong
    return 0 if owner in {0, os.geteuid()} else os.O_NOFOLLOW


_OF_THE_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""What a write says of the disk, without saying of which file."""


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the system name `path`, as somebody called it: not the file that stands beside it
    for a moment, and not nothing.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _require_replaceable(path: Path) -> None:
    """Nothing, where a file may take the place of what is at `path`: a file, or nothing. Raises
    OSError for a folder, and for a device or pipe, also behind a link: root would put a file in the
    place of /dev/null, for every program of the machine.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # nothing, or what follows says what is wrong
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.ENODEV, "a device, pipe or socket", str(path))


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `data`: a reader, or a crash, sees old content or new, never a part.

    It survives a power cut once this returns; not where `durable` is false, for what is written
    anew every few seconds. A link at `path` is replaced, never followed.
    """
    _replace(path, data, PRIVATE_FILE, durable=durable)


class NoRoom(Unavailable):
    """A service cannot keep what it has to: its disk is full, or may not be written."""


def keep_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """`write_private` for a service that goes on by itself once its disk has room again: raises
    NoRoom where it has none, or may not be written, and `path` is as it was.
    """
    try:
        write_private(path, data, durable=durable)
    except OSError as error:
        wanted, hint = f"room to write {path}", "make room on that disk; it goes on by itself"
        if error.errno == errno.ENOENT:
            wanted = f"the folder {path.parent}"
            hint = (
                "it was removed: make it again, for its owner alone; what writes goes on by itself"
            )
        elif error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            wanted = f"{path.parent} writable by this user"
            hint = "make it so; what writes there goes on by itself"
        raise NoRoom.of(Reason.UNAVAILABLE, wanted, error.strerror or error, hint) from error


def write_public(path: Path, data: bytes, *, durable: bool = False) -> None:
    """The same for what everybody may read, as far as the caller's umask lets them."""
    _replace(path, data, PUBLIC_FILE, durable=durable)


def require_place(*paths: Path | None) -> None:
    """Nothing, where a file can be put at each of `paths` that is one.

    For before something is done that cannot be done again. Raises OSError with the path.
    """
    for path in paths:
        if path is None:
            continue
        _require_replaceable(path)
        temporary = _beside(path)
        with _named(path):
            os.close(os.open(temporary, _NEW, PRIVATE_FILE))
        temporary.unlink()


@contextlib.contextmanager
def replacing_private(path: Path) -> Iterator[BinaryIO]:
    """A file to write bit by bit, put at `path` at the end of the block; nothing is left of it, and
    `path` stays as it was, where the block raises.
    """
    _require_replaceable(path)
    temporary = _beside(path)
    try:
        with _named(path):
            out = os.fdopen(os.open(temporary, _NEW, PRIVATE_FILE), "wb")
        try:
            yield out
            with _named(path):
                out.close()
                temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):  # of a disk that is full: told by now
                out.close()
    except OSError as error:
        if error.filename is None and error.errno in _OF_THE_DISK:  # of what was written into it
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):  # where nothing may be written there is none of it
            temporary.unlink(missing_ok=True)


def make_private(path: Path, data: bytes) -> None:
    """Write `data` at `path`, where nothing is. Raises FileExistsError where something is."""
    _write(path, data, PRIVATE_FILE, durable=True)


@contextlib.contextmanager
def creating_private(path: Path) -> Iterator[BinaryIO]:
    """A file to write bit by bit at `path`, where nothing is; on the disk once the block ends.
    Raises FileExistsError where something is.
    """
    with os.fdopen(os.open(path, _NEW, PRIVATE_FILE), "wb") as out:
        yield out
        out.flush()
        os.fsync(out.fileno())


def append_private(path: Path) -> int:
    """A descriptor that appends to `path`. A link is followed where nobody else may have
    put it: the file may be a person's own.

    Whoever appends secrets MUST do so in a private folder.
    """
    return os.open(path, _APPEND | _unlinked(path), PRIVATE_FILE)


def append_public(path: Path) -> int:
    """The same for what everybody may read."""
    return os.open(path, _APPEND | _unlinked(path), PUBLIC_FILE)


def touch_private(path: Path) -> None:
    """Make an empty file at `path` unless there is one: for what a library opens by name later.

    One that is there and open to others is closed to them, with a warning. It is looked at by
    O_PATH, and not opened: closing a descriptor of a file takes every lock of this process on it
    away (POSIX), those of an SQLite connection among them; another process that closes that
    database then takes itself for the last, and removes the journal that this one writes on.
    """
    try:
        seen = os.open(path, os.O_PATH | os.O_CLOEXEC | _unlinked(path))
    except FileNotFoundError:
        os.close(open_private(path))
        return
    try:
        status = os.fstat(seen)
        if stat.S_ISLNK(status.st_mode):  # O_PATH does not refuse it, where O_NOFOLLOW was asked
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        mode = stat.S_IMODE(status.st_mode)
        if mode & OTHERS:
            Path(f"/proc/self/fd/{seen}").chmod(PRIVATE_FILE)
            log.warning("%s was open to others (%o); it is its owner's alone now", path, mode)
    finally:
        os.close(seen)


def open_private(path: Path) -> int:
    """A descriptor that reads and writes `path`, made empty where there is nothing."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | _unlinked(path)
    return os.open(path, flags, PRIVATE_FILE)


def _make(path: Path, mode: int) -> None:
    """Every folder of `path` that is missing: `Path.mkdir` gives its parents another mode."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(exist_ok=True, mode=mode)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")


def _replace(path: Path, data: bytes, mode: int, *, durable: bool) -> None:
    _require_replaceable(path)
    temporary = _beside(path)
    try:
        with _named(path):
            _write(temporary, data, mode, durable=durable)
            temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # a file system that cannot be written has none of it
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def _write(path: Path, data: bytes, mode: int, *, durable: bool) -> None:
    with os.fdopen(os.open(path, _NEW, mode), "wb") as out:
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
