"""The table of cages: what each kind of child process may still do once it is confined.

A child that reads what somebody else made (images, video off the network, a maker's frames) is
where an attacker's code would run first. `confinement` puts a child into its cage; whatever its row
does not name is refused by the kernel, for every thread of it and for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

_TALK: Final = frozenset(
    {"read", "readv", "write", "writev", "recvfrom", "recvmsg", "sendto", "sendmsg", "close"}
)
"""On descriptors that are open already: nothing here makes one."""
_MEMORY: Final = frozenset({"brk", "munmap", "mremap", "madvise", "membarrier"})
"""`mmap` and `mprotect` besides, without PROT_EXEC: no new machine code."""
_TIME: Final = frozenset(
    {"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time"}
)
_THREADS: Final = frozenset(
    {"futex", "sched_yield", "sched_getaffinity", "getcpu", "rseq", "set_robust_list", "gettid"}
)
_SIGNALS: Final = frozenset({"rt_sigreturn", "rt_sigaction", "rt_sigprocmask", "sigaltstack"})
_END: Final = frozenset({"exit", "exit_group", "restart_syscall"})
_WAIT: Final = frozenset(
    {"poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait"}
)
COMPUTE: Final = _TALK | _MEMORY | _TIME | _THREADS | _SIGNALS | _END | {"getrandom", "getpid"}
"""What a process needs to compute on bytes that it is given, and to answer."""
FILES: Final = frozenset(
    {
        "access",
        "faccessat",
        "faccessat2",
        "fadvise64",
        "fcntl",
        "fstat",
        "getcwd",
        "getdents64",
        "lseek",
        "lstat",
        "newfstatat",
        "pread64",
        "preadv",
        "readlink",
        "readlinkat",
        "stat",
        "statx",
        "uname",
        "umask",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "sysinfo",
    }
)
"""To look for files and read them; which ones, the paths of the cage say. `openat` besides."""
NETWORK: Final = _WAIT | frozenset(
    {
        "connect",
        "shutdown",
        "getsockname",
        "getpeername",
        "getsockopt",
        "setsockopt",
        "fcntl",
        "pipe2",
    }
)
"""To speak over one TCP connection; `socket` besides, for addresses of the Internet, TCP alone."""
NEVER: Final = frozenset(
    {
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "process_madvise",
        "pidfd_getfd",
        "pidfd_open",
        "kcmp",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "move_mount",
        "open_tree",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "pivot_root",
        "chroot",
        "bpf",
        "perf_event_open",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "delete_module",
        "open_by_handle_at",
        "name_to_handle_at",
        "personality",
        "modify_ldt",
        "iopl",
        "ioperm",
        "swapon",
        "swapoff",
        "reboot",
        "settimeofday",
        "clock_settime",
        "clock_adjtime",
        "adjtimex",
        "acct",
        "quotactl",
        "syslog",
        "vhangup",
        "memfd_secret",
        "fanotify_init",
        "seccomp",
    }
)
"""What no child of ours has a use for: other processes' memory and descriptors, namespaces, mounts,
kernel code, keys, rings whose work no filter sees, the machine's clock. Refused even to programs
that are not ours.
"""


class Opens(StrEnum):
    """What `openat` may do."""

    NOTHING = "nothing"
    TO_READ = "to read"
    TO_WRITE = "to read and write"
    TO_MAKE = "to make, read and write"


class Space(StrEnum):
    """The user namespace of a child."""

    UNMAPPED = "unmapped"
    """Nobody in it: no rights over anything outside, and none to gain inside."""
    OWN_USER = "own user"
    """The user it was, without that user's capabilities outside: a program may still own files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """One row: a kind of child and what it needs.

    `calls` are allowed whatever their arguments; where `foreign`, every call is but `NEVER`. Of
    `mmap` and `mprotect` only what makes no code executable is allowed (unless `foreign`), of
    `clone` only threads, where `threads`. `ioctl` is the type of the one family of device calls.
    """

    name: str
    child: str
    calls: frozenset[str]
    opens: Opens = Opens.NOTHING
    threads: bool = False
    connects: bool = False
    looks_up: bool = False
    """It asks name servers: UDP besides, to anybody, because no layer here knows UDP's ports."""
    ioctl: int | None = None
    requests: frozenset[int] = frozenset()
    """Single device calls beside that family."""
    ends_group: bool = False
    """It may kill its own process group, which is itself and the program it started."""
    foreign: bool = False
    space: Space = Space.UNMAPPED
    links: bool = False
    """It keeps the host's network interfaces; else it has none at all."""


INFERENCE: Final = Cage(
    name="inference",
    child="decodes frames and runs the model; bytes come and go over one socket",
    calls=COMPUTE,
)
CAPTURE_FOLDER: Final = Cage(
    name="capture-folder",
    child="reads and decodes images of one folder",
    calls=COMPUTE | FILES,
    opens=Opens.TO_READ,
)
CAPTURE_VIDEO: Final = Cage(
    name="capture-video",
    child="reads and decodes one video file; decoders start threads when they see it",
    calls=COMPUTE | FILES | _WAIT,
    opens=Opens.TO_READ,
    threads=True,
)
CAPTURE_DEVICE: Final = Cage(
    name="capture-device",
    child="takes pictures from one video device (V4L2)",
    calls=COMPUTE | FILES | _WAIT,
    opens=Opens.TO_WRITE,
    threads=True,
    ioctl=ord("V"),
)
CAPTURE_NETWORK: Final = Cage(
    name="capture-network",
    child="decodes video that one address sends over TCP",
    calls=COMPUTE | FILES | NETWORK,
    opens=Opens.TO_READ,
    threads=True,
    connects=True,
    links=True,
)
CAPTURE_RELAY: Final = Cage(
    name="capture-relay",
    child="takes the frames that a maker's program writes, decodes and masks them",
    calls=COMPUTE,
    ends_group=True,
)
CAPTURE_PROGRAM: Final = Cage(
    name="capture-program",
    child=(
        "a maker's program: its own files, the system's libraries, video and USB devices, one"
        " folder for temporary files, the Internet's protocols"
    ),
    calls=frozenset(),
    foreign=True,
    opens=Opens.TO_WRITE,
    threads=True,
    connects=True,
    space=Space.OWN_USER,
    links=True,
)
_FIONBIO: Final = 0x5421
"""A socket that does not wait; Python's timeouts take it."""
_TIOCOUTQ: Final = 0x5411
"""How much of what was sent the other side's TCP has not taken."""
SINK_LINES: Final = Cage(
    name="sink-lines",
    child="appends the record's events to one file, or to the controller's standard output",
    calls=COMPUTE | FILES | {"fsync", "ftruncate"},
    opens=Opens.TO_MAKE,
)
SINK_NETWORK: Final = Cage(
    name="sink-network",
    child="sends the record's events to one collector over TCP, whose name was looked up before",
    calls=COMPUTE | FILES | NETWORK,
    opens=Opens.TO_READ,
    connects=True,
    requests=frozenset({_FIONBIO, _TIOCOUTQ}),
    links=True,
)
_LIBRARY_NETWORK: Final = NETWORK | {
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd2",
    "sched_getparam",
    "sched_getscheduler",
    "sendmmsg",
}
SINK_LIBRARY: Final = Cage(
    name="sink-library",
    child="the same by a library of C that looks names up itself (Kafka, OTLP over gRPC)",
    calls=COMPUTE | FILES | _LIBRARY_NETWORK,
    opens=Opens.TO_READ,
    threads=True,
    connects=True,
    looks_up=True,
    requests=frozenset({_FIONBIO}),
    links=True,
)
_SERVE: Final = _WAIT | frozenset(
    {
        "accept4",
        "epoll_pwait",
        "epoll_pwait2",
        "eventfd2",
        "fcntl",
        "getpeername",
        "getsockname",
        "getsockopt",
        "setsockopt",
        "shutdown",
    }
)
"""To take connections at a socket that listens already."""
JOIN_PORT: Final = Cage(
    name="join-port",
    child="serves strangers at the controller's join port; passes calls on over one socket",
    calls=COMPUTE | FILES | _SERVE | {"connect", "sched_getparam", "sched_getscheduler"},
    opens=Opens.TO_READ,
    threads=True,
    connects=True,
    requests=frozenset({_FIONBIO}),
    links=True,
)
BUNDLE_PORT: Final = Cage(
    name="bundle-port",
    child="answers strangers at the bundle's port with one document",
    calls=COMPUTE | FILES | _SERVE,
    opens=Opens.TO_READ,
    requests=frozenset({_FIONBIO}),
)
CAGES: Final[Mapping[str, Cage]] = MappingProxyType(
    {
        cage.name: cage
        for cage in (
            INFERENCE,
            CAPTURE_FOLDER,
            CAPTURE_VIDEO,
            CAPTURE_DEVICE,
            CAPTURE_NETWORK,
            CAPTURE_RELAY,
            CAPTURE_PROGRAM,
            SINK_LINES,
            SINK_NETWORK,
            SINK_LIBRARY,
            JOIN_PORT,
            BUNDLE_PORT,
        )
    }
)
