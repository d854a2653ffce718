"""Putting a child process into its cage (`cages`): namespaces, descriptors, files, system calls.

A child confines itself, in this order, because each step needs what the next takes away:

    isolate       before it has threads: namespaces, no new privileges, no debugger, no descriptors
    close_paths   before it has threads: files and TCP ports (Landlock), which bind one thread and
                  those it starts
    close_calls   when everything it needs is loaded: system calls (seccomp), of every thread
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import mmap
import os
import signal
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate.errors import Reason, Unavailable
from framegate_host.cages import NEVER, Cage, Opens, Space
from framegate_host.process_memory import hide_memory

EXIT_UNCONFINED: Final = 3
"""A child that ends with it could not be confined: starting it again changes nothing."""
PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
_NEW: Final = (
    CLONE_NEWNS,
    CLONE_NEWCGROUP,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWNET,
)
_THREAD: Final = 0x00000100 | 0x00000200 | 0x00000400 | 0x00000800 | 0x00010000 | 0x00040000
"""CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM: what every C library starts a thread with."""
_AF_INET: Final = 2
_AF_INET6: Final = 10
_AF_NETLINK: Final = 16
"""By which programs list network interfaces, and their C library finds out what addresses it has.
"""
_FAMILIES: Final = 64
"""More address families than Linux has; one past them all is refused as a range."""
_SOCK_STREAM: Final = 1
_SOCK_DGRAM: Final = 2
_SOCK_TYPE: Final = 0xFFFF_FFFF & ~0o2004000
"""All of a socket's type but SOCK_NONBLOCK and SOCK_CLOEXEC."""
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C
"""Both type into the terminal that a process was started from."""
_LOW: Final = 0xFFFF_FFFF
"""The kernel takes 32 bits of these arguments, whatever the others are."""
_UNKNOWN_CALL: Final = -1
_MACHINE_FILES: Final = (
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/net/core/somaxconn",
    "/sys/devices/system/cpu",
)
QUIET: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""The environment of a child that confines itself: numerical libraries start threads as they are
imported, onnxruntime one that reports to its maker. A process that has threads can leave neither
its namespaces nor its files.
"""


@dataclass(frozen=True, slots=True)
class Paths:
    """What of the file system stays reachable, each with all that is below it."""

    read: Sequence[Path] = ()
    run: Sequence[Path] = ()
    """To read and to execute."""
    write: Sequence[Path] = ()
    """To read, write, make and remove files in."""
    devices: Sequence[Path] = ()
    """To read, write and control."""


def interpreter_paths() -> tuple[Path, ...]:
    """Our interpreter's modules and libraries: some are read on first use. No current folder."""
    own = (sys.prefix, sys.base_prefix, *(name for name in sys.path if name.startswith("/")))
    return _there(own)


def machine_paths() -> tuple[Path, ...]:
    """What libraries of C look at as they begin."""
    return _there(_MACHINE_FILES)


def _there(names: Iterable[str]) -> tuple[Path, ...]:
    return tuple(path for path in map(Path, dict.fromkeys(names)) if path.exists())


class Confinement:
    """A child's way into its cage. What cannot be had raises Unavailable (UNCONFINED), or, where
    `required` is False, is remembered and said in `isolation`.

    Namespaces are taken where the kernel gives them; everything else is required.
    """

    def __init__(self, cage: Cage, *, required: bool = True) -> None:
        self.cage, self._required = cage, required
        # both look for files, which are out of reach later
        self._landlock, self._seccomp = _library("landlockpy"), _library("pyseccomp")
        self._holds: list[str] = []
        self._lacks: list[str] = []

    @property
    def lacking(self) -> bool:
        """Whether a layer that is required elsewhere is missing."""
        return bool(self._lacks)

    @property
    def isolation(self) -> str:
        """What holds, in words, and first of all what does not."""
        lacking = [f"lacks {lack}" for lack in self._lacks]
        return ", ".join([*lacking, *self._holds])

    def isolate(self, keep: Collection[int] | None) -> None:
        """Leave the host's namespaces, never gain rights, be closed to debuggers, and hold no
        descriptor but `keep` (None: whoever starts the program closes them).
        """
        self._leave_namespaces()
        if _prctl(PR_SET_NO_NEW_PRIVS, 1):
            self._holds.append("no new privileges")
        else:
            self._refuse("no new privileges", "prctl refused")
        hide_memory()
        self._holds.append("not dumpable")
        if keep is not None:
            _close_all_but(keep)
            self._holds.append(f"{len(set(keep))} descriptors")

    def close_paths(
        self, paths: Paths = Paths(), ports: Collection[int] = (), own: Collection[int] = ()
    ) -> None:
        """From here on the file system ends at `paths`, and TCP at `ports` of others and the ports
        `own` of this host, for this thread and those it starts. Abstract sockets and processes
        outside are out of reach where the kernel knows that (Landlock 6).
        """
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names alone
        if threads != 1:
            self._refuse("no files", f"{threads} threads, of which all but one would keep theirs")
            return
        try:
            _landlock(_present(self._landlock), self.cage, paths, (ports, own))
            version = _present(self._landlock).abi_version()
            self._holds.append(f"{_told(paths)} (Landlock {version})")
        except (OSError, RuntimeError, ImportError) as error:
            self._refuse("no files", f"Landlock: {error}")

    def close_calls(self) -> None:
        """From here on every thread of this process, and whatever it starts, makes no system calls
        but the cage's. The others fail with EPERM; those no child of ours has a use for end it.
        """
        rules = _foreign_filter if self.cage.foreign else _strict_filter
        try:
            count = rules(_present(self._seccomp), self.cage)
        except (OSError, RuntimeError, ImportError) as error:
            self._refuse("system calls", f"seccomp: {error}")
            return
        self._holds.append(
            f"all system calls but {len(NEVER)}" if self.cage.foreign else f"{count} system calls"
        )

    def _leave_namespaces(self) -> None:
        own = self.cage.space == Space.OWN_USER
        uid, gid = os.geteuid(), os.getegid()
        other = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS
        other |= 0 if self.cage.links else CLONE_NEWNET
        if own and _unshare(CLONE_NEWUSER):
            # one's own user and group may be mapped without any right, once groups are fixed
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{uid} {uid} 1"),
                ("gid_map", f"{gid} {gid} 1"),
            ):
                Path("/proc/self", name).write_text(text)
            self._holds.append("a user namespace of its own")
        elif not own and _unshare(CLONE_NEWUSER | other):
            self._holds.append("namespaces of nobody")
            if not self.cage.links:
                self._holds.append("no network")
        elif _unshare(other):
            self._holds.append("namespaces" if self.cage.links else "namespaces, no network")
        else:
            self._holds.append("no namespaces: the kernel gives none")

    def _refuse(self, what: str, why: object) -> None:
        if self._required:
            raise Unavailable.of(
                Reason.UNCONFINED,
                f"a kernel that confines the child {self.cage.name}: {what}",
                why,
                "Linux 5.13 or later with Landlock and seccomp, and libseccomp2",
            )
        self._lacks.append(f"{what} ({why})")


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends. A change of user
    namespace forgets it: to be called after that.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> bool:
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)


def _unshare(flags: int) -> bool:
    return bool(ctypes.CDLL(None, use_errno=True).unshare(flags) == 0)


def _close_all_but(keep: Collection[int]) -> None:
    low = 0
    for descriptor in sorted(set(keep)):
        if low < descriptor:  # an empty range from 0 on is every descriptor to the kernel
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, max(low, os.sysconf("SC_OPEN_MAX")))


def _told(paths: Paths) -> str:
    reached = [
        f"{len(given)} paths to {what}"
        for what, given in (
            ("read", paths.read),
            ("run", paths.run),
            ("write", paths.write),
            ("control", paths.devices),
        )
        if given
    ]
    return " and ".join(reached) or "no files"


def _library(name: str) -> Any:
    """A binding, or the error with which it does not load."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError, OSError) as error:
        return error


def _present(library: Any) -> Any:
    if isinstance(library, Exception):
        raise library
    return library


def _landlock(
    library: Any, cage: Cage, paths: Paths, ports: tuple[Collection[int], Collection[int]]
) -> None:
    AccessFS, AccessNet, Scope = library.AccessFS, library.AccessNet, library.Scope
    read = AccessFS.READ_FILE | AccessFS.READ_DIR
    write = (
        read
        | AccessFS.WRITE_FILE
        | AccessFS.TRUNCATE
        | AccessFS.MAKE_REG
        | AccessFS.MAKE_DIR
        | AccessFS.MAKE_SYM
        | AccessFS.MAKE_FIFO
        | AccessFS.REMOVE_FILE
        | AccessFS.REMOVE_DIR
    )
    device = read | AccessFS.WRITE_FILE | AccessFS.IOCTL_DEV
    of_files = (
        AccessFS.EXECUTE
        | AccessFS.READ_FILE
        | AccessFS.WRITE_FILE
        | AccessFS.TRUNCATE
        | AccessFS.IOCTL_DEV
    )
    scoped = Scope.ABSTRACT_UNIX_SOCKET | (Scope.NONE if cage.ends_group else Scope.SIGNAL)
    with library.Ruleset(
        handled_net=AccessNet.NONE if cage.foreign else None, scoped=scoped
    ) as rules:
        for given, rights in (
            (paths.read, read),
            (paths.run, read | AccessFS.EXECUTE),
            (paths.write, write),
            (paths.devices, device),
        ):
            for path in given:
                rules.allow_path(path, rights if path.is_dir() else rights & of_files)
        for of_ports, right in zip(ports, (AccessNet.CONNECT_TCP, AccessNet.BIND_TCP), strict=True):
            for port in of_ports:
                rules.allow_port(port, right)
        rules.restrict()


def _filter(library: Any, default: int) -> Any:
    rules = library.SyscallFilter(default)
    rules.set_attr(library.Attr.CTL_TSYNC, 1)
    # the other ways into this kernel (32 bits, x32) have other numbers: nobody here uses them
    rules.set_attr(library.Attr.ACT_BADARCH, library.KILL_PROCESS)
    return rules


def _add(library: Any, rules: Any, action: int, call: str, *arguments: Any) -> None:
    # a call that this processor or this libseccomp does not know stays with the default
    if library.resolve_syscall(library.Arch.NATIVE, call) != _UNKNOWN_CALL:
        rules.add_rule(action, call, *arguments)


def _strict_filter(library: Any, cage: Cage) -> int:
    rules = _filter(library, library.ERRNO(errno.EPERM))
    allow, arg, masked = library.ALLOW, library.Arg, library.MASKED_EQ
    for call in sorted(cage.calls):
        _add(library, rules, allow, call)
    for call in ("mmap", "mprotect"):
        _add(library, rules, allow, call, arg(2, masked, mmap.PROT_EXEC, 0))
    # its flags lie in memory, where no filter looks: C libraries then fall back to clone
    _add(library, rules, library.ERRNO(errno.ENOSYS), "clone3")
    _add_threads_and_sockets(library, rules, cage)
    _add_opens_and_devices(library, rules, cage)
    if cage.ends_group:
        own = arg(0, library.EQ, 0), arg(1, library.EQ, int(signal.SIGKILL))
        _add(library, rules, allow, "kill", *own)
    for call in sorted(NEVER | {"execve", "execveat"}):
        _add(library, rules, library.KILL_PROCESS, call)
    rules.load()
    return len(cage.calls)


def _add_threads_and_sockets(library: Any, rules: Any, cage: Cage) -> None:
    """Threads, and sockets."""
    allow, arg, masked = library.ALLOW, library.Arg, library.MASKED_EQ
    if cage.threads:
        flags = _THREAD
        for new in _NEW:
            flags |= new
        _add(library, rules, allow, "clone", arg(0, masked, flags, _THREAD))
    if cage.connects:
        for family in (_AF_INET, _AF_INET6):
            for kind in (_SOCK_STREAM, _SOCK_DGRAM) if cage.looks_up else (_SOCK_STREAM,):
                kinds = arg(1, masked, _SOCK_TYPE, kind)
                _add(library, rules, allow, "socket", arg(0, library.EQ, family), kinds)


def _add_opens_and_devices(library: Any, rules: Any, cage: Cage) -> None:
    """Opening files, and device calls."""
    allow, arg, masked = library.ALLOW, library.Arg, library.MASKED_EQ
    if cage.opens == Opens.TO_READ:
        _add(library, rules, allow, "openat", arg(2, masked, os.O_ACCMODE | os.O_CREAT, 0))
    elif cage.opens == Opens.TO_WRITE:
        _add(library, rules, allow, "openat", arg(2, masked, os.O_CREAT, 0))
    elif cage.opens == Opens.TO_MAKE:
        _add(library, rules, allow, "openat")
    if cage.ioctl is not None:
        _add(library, rules, allow, "ioctl", arg(1, masked, 0xFF00, cage.ioctl << 8))
    for request in sorted(cage.requests):
        _add(library, rules, allow, "ioctl", arg(1, masked, _LOW, request))


def _foreign_filter(library: Any, cage: Cage) -> int:
    rules = _filter(library, library.ALLOW)
    deny, arg, masked = library.ERRNO(errno.EPERM), library.Arg, library.MASKED_EQ
    for call in sorted(NEVER):
        _add(library, rules, deny, call)
    _add(library, rules, library.ERRNO(errno.ENOSYS), "clone3")
    for new in _NEW:
        _add(library, rules, deny, "clone", arg(0, masked, new, new))
    for family in set(range(_FAMILIES)) - {_AF_INET, _AF_INET6, _AF_NETLINK}:
        _add(library, rules, deny, "socket", arg(0, library.EQ, family))
    _add(library, rules, deny, "socket", arg(0, library.GE, _FAMILIES))
    for request in (_TIOCSTI, _TIOCLINUX):
        _add(library, rules, deny, "ioctl", arg(1, masked, _LOW, request))
    for call in ("prlimit64",):
        _add(library, rules, deny, call, arg(0, library.NE, 0))
    rules.load()
    return len(NEVER)
