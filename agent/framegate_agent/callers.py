"""Which processes of this host may speak on the agent's socket: what they say is quoted as a
gateway's, and a vault is opened for them. A uid is no answer to that: every child of a gateway has
it too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import socket
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Refused

SO_PEERPIDFD: Final = 77
"""Linux 6.5 and later (include/uapi/asm-generic/socket.h); Python has no name for it yet."""
_CREDENTIALS: Final = struct.Struct("3i")
_MAX_DEPTH: Final = 4096
"""Generations of processes: a chain that is longer is a loop of numbers used anew."""


MAX_PROGRAM_BYTES: Final = 64 * 2**20
"""A Python interpreter has seven; what is larger is not read for its digest."""
MAX_READ: Final = 16
"""Programs whose digests are remembered: an image's, and those of its updates."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process and no other: a number is used again, with another start (ticks since boot)."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Caller:
    """A process that may speak, held by its pidfd, which becomes readable when it ends."""

    process: Process
    pidfd: int

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(OSError):
            os.close(self.pidfd)


@dataclass(frozen=True, slots=True)
class _File:
    """A file by what a name cannot change."""

    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class _Content:
    """A file and the state it was read in: who writes to it changes its ctime."""

    file: _File
    size: int
    changed_ns: int


class Callers:
    """Admits processes of `uids` that run one of `executables` (default: this process's own), or a
    program of one of `digests` (SHA-256, hex): in a container the same program is another file.
    """

    def __init__(
        self,
        uids: Collection[int],
        executables: Sequence[Path] = (),
        digests: Collection[str] = (),
    ) -> None:
        self._uids, self._digests = frozenset(uids), frozenset(digests)
        self._paths = tuple(executables) or (Path("/proc/self/exe").resolve(),)
        self._read: dict[_Content, str] = {}
        self._known: dict[Process, Caller] = {}

    def admit(self, connection: socket.socket) -> Caller:
        """The process at the other end, after these checks.

        1. its uid is one of `uids`;
        2. it is held by a pidfd, of the very process that connected, and lives;
        3. the program it runs is one of `executables`, the same file, or has one of `digests`;
        4. it is in this process's user namespace: a confined child is in one of its own, for good;
        5. it descends neither from a process that has spoken here before, nor from this one: what a
           gateway or an agent starts has nothing to say here;
        6. it is still the process that it was before check 3.

        Raises Refused (UNAUTHENTICATED).
        """
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(raw)
        if uid not in self._uids:  # 1
            hint = "start the agent with --gateway-uid"
            raise _refused(f"a process of uid {sorted(self._uids)}", f"uid {uid}", hint)
        caller = Caller(Process(pid, _started(pid)), _pidfd(connection, pid))  # 2
        try:
            self._looked_at(caller)
        except BaseException:
            caller.close()
            raise
        self._forget_ended()
        mine = Caller(caller.process, os.dup(caller.pidfd))
        if (before := self._known.get(mine.process)) is not None:
            before.close()
        self._known[mine.process] = mine
        return caller

    def still(self, caller: Caller) -> None:
        """That whoever was admitted is there and runs the same program: checks 2 to 4 and 6 anew,
        before each thing that is done for it. Raises Refused (UNAUTHENTICATED).
        """
        self._is_program(caller)

    def _looked_at(self, caller: Caller) -> None:
        self._is_program(caller)
        process = caller.process
        ours = {Process(os.getpid(), _started(os.getpid())), *self._known}
        for ancestor in _ancestors(process.pid):  # 5
            if ancestor in ours - {process}:
                raise _refused(
                    "a gateway's own process",
                    f"process {process.pid}, which descends from {ancestor.pid}",
                    "a gateway is started by its supervisor, not by another gateway or the agent",
                )
        self._is_program(caller)  # 6

    def _is_program(self, caller: Caller) -> None:
        pid = caller.process.pid
        if _ended(caller.pidfd) or _started(pid) != caller.process.started:  # 2, 6
            raise _refused("a process that lives", f"process {pid}, which ended")
        try:
            program = _file(Path(f"/proc/{pid}/exe"))
            space, own = _file(Path(f"/proc/{pid}/ns/user")), _file(Path("/proc/self/ns/user"))
        except OSError as error:
            hint = "the agent sees programs of other users as root, or with CAP_SYS_PTRACE"
            raise _refused(
                "a program that the agent sees", error.strerror or error, hint
            ) from error
        allowed = {_file(path) for path in self._paths if path.exists()}
        if program not in allowed and not self._has_digest(pid):  # 3
            named = ascii(_target(pid))[:200]
            hint = (
                "start the agent with --gateway-program; of a container, --gateway-program-sha256"
            )
            raise _refused(f"one of {', '.join(map(str, self._paths))}", named, hint)
        if space != own:  # 4
            raise _refused("a process of the host's user namespace", f"process {pid} of another")

    def _has_digest(self, pid: int) -> bool:
        """Whether the program of this process is known by its bytes. They are read through /proc:
        a name would lead elsewhere in a container.
        """
        if not self._digests:
            return False
        try:
            with Path(f"/proc/{pid}/exe").open("rb") as program:
                stat = os.fstat(program.fileno())
                content = _Content(_File(stat.st_dev, stat.st_ino), stat.st_size, stat.st_ctime_ns)
                if content not in self._read:
                    if stat.st_size > MAX_PROGRAM_BYTES:
                        return False
                    while len(self._read) >= MAX_READ:
                        self._read.pop(next(iter(self._read)))
                    self._read[content] = hashlib.file_digest(program, "sha256").hexdigest()
        except OSError:
            return False
        return self._read[content] in self._digests

    def _forget_ended(self) -> None:
        for process in [p for p, caller in self._known.items() if _ended(caller.pidfd)]:
            self._known.pop(process).close()


def _refused(expected: str, actual: object, hint: str = "") -> Refused:
    return Refused.of(Reason.UNAUTHENTICATED, expected, actual, hint)


def _pidfd(connection: socket.socket, pid: int) -> int:
    """A pidfd of the process that connected. Before Linux 6.5 it is opened by number, which the
    start time, read before, tells from another that got the number since.
    """
    try:
        return connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError:
        pass
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise _refused("a process that lives", f"process {pid}: {error.strerror}") from error


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _started(pid: int) -> int:
    return _stat(pid).started


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    started: int


def _stat(pid: int) -> _Stat:
    """proc_pid_stat(5), fields 4 and 22; the name in parentheses may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        fields = text[text.rindex(")") + 2 :].split()
        return _Stat(int(fields[1]), int(fields[19]))
    except (OSError, ValueError, IndexError) as error:
        raise _refused("a process that lives", f"process {pid}: {error}") from error


def _ancestors(pid: int) -> list[Process]:
    chain: list[Process] = []
    while len(chain) < _MAX_DEPTH and (pid := _stat(pid).parent) > 0:
        chain.append(Process(pid, _started(pid)))
    return chain


def _file(path: Path) -> _File:
    status = path.stat()
    return _File(status.st_dev, status.st_ino)


def _target(pid: int) -> str:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/exe").readlink())
    return "unknown"
