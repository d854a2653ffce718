"""A child that has been taken over: it enters the cage it is told, then makes every call that a
cage forbids, straight to the kernel, and says what came of each.

    python -m framegate_simulators.attack.hostile_child CAGE FILE PORT PARENT SOCKET

`FILE` is a file of the parent's, `PORT` a TCP port where somebody listens, `PARENT` its process id,
`SOCKET` a Unix socket. Answers one JSON object on standard output: {call: what came}. In the cage
`none` it is free, and tries what hurts nobody: calls that fail there would prove nothing elsewhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable

X86_64 = {
    "open": 2,
    "socket": 41,
    "socketpair": 53,
    "connect": 42,
    "clone": 56,
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "kill": 62,
    "ptrace": 101,
    "setsid": 112,
    "pivot_root": 155,
    "prctl": 157,
    "mount": 165,
    "tkill": 200,
    "io_setup": 206,
    "tgkill": 234,
    "openat": 257,
    "unshare": 272,
    "prlimit64": 302,
    "open_by_handle_at": 304,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "memfd_create": 319,
    "bpf": 321,
    "execveat": 322,
    "userfaultfd": 323,
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "pidfd_open": 434,
    "clone3": 435,
    "openat2": 437,
    "pidfd_getfd": 438,
    "dup": 32,
    "keyctl": 250,
    "perf_event_open": 298,
    "seccomp": 317,
    "personality": 135,
    "rt_sigqueueinfo": 129,
    "add_key": 248,
    "pkey_mprotect": 329,
    "ioctl": 16,
    "chroot": 161,
}
AARCH64 = {
    "dup": 23,
    "ioctl": 29,
    "mount": 40,
    "pivot_root": 41,
    "chroot": 51,
    "openat": 56,
    "io_setup": 0,
    "personality": 92,
    "unshare": 97,
    "ptrace": 117,
    "kill": 129,
    "tkill": 130,
    "tgkill": 131,
    "rt_sigqueueinfo": 138,
    "setsid": 157,
    "prctl": 167,
    "socket": 198,
    "socketpair": 199,
    "connect": 203,
    "add_key": 217,
    "keyctl": 219,
    "clone": 220,
    "execve": 221,
    "perf_event_open": 241,
    "prlimit64": 261,
    "open_by_handle_at": 265,
    "setns": 268,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "kcmp": 272,
    "seccomp": 277,
    "memfd_create": 279,
    "bpf": 280,
    "execveat": 281,
    "userfaultfd": 282,
    "pkey_mprotect": 288,
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "pidfd_open": 434,
    "clone3": 435,
    "openat2": 437,
    "pidfd_getfd": 438,
}
NUMBERS = X86_64 if os.uname().machine == "x86_64" else AARCH64
AT_FDCWD, CLONE_NEWUSER = -100, 0x10000000
TIOCSTI = 0x5412
HARMLESS = (
    "openat",
    "openat2",
    "read a file",
    "socket AF_UNIX",
    "socket AF_INET",
    "socket UDP",
    "socketpair",
    "dup",
    "fork",
    "clone",
    "memfd_create",
    "process_vm_readv",
    "prlimit64",
    "kill its parent",
    "pidfd_open",
    "unshare",
    "mmap PROT_EXEC",
    "mprotect PROT_EXEC",
)
libc = ctypes.CDLL(None, use_errno=True)


class Told:
    """What the child knows of its parent."""

    def __init__(self, argv: list[str]) -> None:
        self.cage, self.file, port, parent, self.socket = argv
        self.port, self.parent = int(port), int(parent)


def call(name: str, *arguments: object) -> str:
    """What the kernel says to one call: an error's name, or `done`."""
    if name not in NUMBERS:
        return "ENOSYS"
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *arguments)
    if result == 0 and name in {"fork", "vfork", "clone"}:
        os._exit(0)
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def path(text: str) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(text.encode())


def executable_memory() -> str:
    libc.mmap.restype = ctypes.c_void_p
    rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    ctypes.set_errno(0)
    address = libc.mmap(None, ctypes.c_size_t(4096), rights, flags, -1, ctypes.c_long(0))
    failed = address is None or address == ctypes.c_void_p(-1).value
    return errno.errorcode[ctypes.get_errno()] if failed else "done"


def made_executable() -> str:
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.set_errno(0)
    result = libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), 5)
    return "done" if result == 0 else errno.errorcode[ctypes.get_errno()]


def read_file(name: str) -> str:
    """Open and read, as the row's calls allow: `done` only where bytes came."""
    try:
        descriptor = os.open(name, os.O_RDONLY)
        return "done" if os.read(descriptor, 1) else "empty"
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def write_file(name: str) -> str:
    try:
        os.write(os.open(name, os.O_WRONLY | os.O_CREAT), b"x")
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def connected(family: int, address: bytes) -> str:
    made = libc.syscall(ctypes.c_long(NUMBERS["socket"]), family, 1, 0)
    if made < 0:
        return errno.errorcode[ctypes.get_errno()]
    return call("connect", made, ctypes.c_char_p(address), len(address))


def attempts(told: Told) -> dict[str, Callable[[], str]]:
    """Every way out that is tried, by its name."""
    word = ctypes.create_string_buffer(64)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(word), 8)
    remote = (ctypes.c_void_p * 2)(ctypes.addressof(word), 8)
    empty = ctypes.create_string_buffer(128)
    how = ctypes.create_string_buffer(24)
    shell, nothing = path("/bin/true"), (ctypes.c_char_p * 1)(None)
    inet = struct.pack("=H", 2) + struct.pack(">H4s8x", told.port, bytes([127, 0, 0, 1]))
    unix = struct.pack("=H", 1) + told.socket.encode() + b"\0"

    def opened(name: str, *before: object) -> Callable[[], str]:
        return lambda: call(name, *before, path(told.file), 0, 0)

    return {
        "open": opened("open"),
        "openat": opened("openat", AT_FDCWD),
        "openat2": lambda: call("openat2", AT_FDCWD, path(told.file), how, 24),
        "open_by_handle_at": lambda: call("open_by_handle_at", AT_FDCWD, empty, 0),
        "read a file": lambda: read_file(told.file),
        "write a file": lambda: write_file(told.file),
        "read its parent's memory file": lambda: read_file(f"/proc/{told.parent}/mem"),
        "socket AF_UNIX": lambda: connected(1, unix),
        "socket AF_INET": lambda: connected(2, inet),
        "socket AF_NETLINK": lambda: call("socket", 16, 3, 0),
        "socket AF_PACKET": lambda: call("socket", 17, 3, 0),
        "socket AF_ALG": lambda: call("socket", 38, 5, 0),
        "socket AF_VSOCK": lambda: call("socket", 40, 1, 0),
        "socket UDP": lambda: call("socket", 2, 2, 0),
        "socketpair": lambda: call("socketpair", 1, 1, 0, empty),
        "dup": lambda: call("dup", 2),
        "fork": lambda: call("fork"),
        "vfork": lambda: call("vfork"),
        "clone": lambda: call("clone", int(signal.SIGCHLD), None, None, None, None),
        "clone into a user namespace": lambda: call(
            "clone", CLONE_NEWUSER | int(signal.SIGCHLD), None, None, None, None
        ),
        "clone3": lambda: call("clone3", empty, 64),
        "execve": lambda: call("execve", shell, nothing, nothing),
        "execveat": lambda: call("execveat", AT_FDCWD, shell, nothing, nothing, 0),
        "memfd_create": lambda: call("memfd_create", path("x"), 0),
        "ptrace": lambda: call("ptrace", 16, told.parent, None, None),
        "process_vm_readv": lambda: call(
            "process_vm_readv", told.parent, vector, 1, remote, 1, ctypes.c_long(0)
        ),
        "process_vm_writev": lambda: call(
            "process_vm_writev", told.parent, vector, 1, remote, 1, ctypes.c_long(0)
        ),
        "prlimit64": lambda: call("prlimit64", told.parent, 7, None, empty),
        "kill its parent": lambda: call("kill", told.parent, 0),
        "kill everybody": lambda: call("kill", -1, 0),
        "tgkill": lambda: call("tgkill", told.parent, told.parent, 0),
        "tkill": lambda: call("tkill", told.parent, 0),
        "rt_sigqueueinfo": lambda: call("rt_sigqueueinfo", told.parent, 10, empty),
        "pidfd_open": lambda: call("pidfd_open", told.parent, 0),
        "pidfd_getfd": lambda: call("pidfd_getfd", 0, 0, 0),
        "pidfd_send_signal": lambda: call("pidfd_send_signal", 0, 0, None, 0),
        "kcmp": lambda: call("kcmp", told.parent, told.parent, 0, 0, 0),
        "mount": lambda: call("mount", path("none"), path("/mnt"), path("tmpfs"), 0, None),
        "chroot": lambda: call("chroot", path("/")),
        "pivot_root": lambda: call("pivot_root", path("/"), path("/")),
        "unshare": lambda: call("unshare", CLONE_NEWUSER),
        "setns": lambda: call("setns", 0, 0),
        "bpf": lambda: call("bpf", 0, empty, 64),
        "userfaultfd": lambda: call("userfaultfd", 0),
        "perf_event_open": lambda: call("perf_event_open", empty, 0, -1, -1, ctypes.c_long(0)),
        "io_uring_setup": lambda: call("io_uring_setup", 4, empty),
        "io_setup": lambda: call("io_setup", 4, empty),
        "keyctl": lambda: call("keyctl", 0, -3, 0),
        "add_key": lambda: call("add_key", path("user"), path("x"), path("y"), 1, -3),
        "seccomp": lambda: call("seccomp", 2, 0, ctypes.byref(ctypes.c_uint32(0))),
        "personality": lambda: call("personality", 0x0400000),
        "pkey_mprotect": lambda: call("pkey_mprotect", None, 0, 4, -1),
        "setsid": lambda: call("setsid"),
        "prctl PR_SET_DUMPABLE": lambda: call("prctl", 4, 1, 0, 0, 0),
        "ioctl TIOCSTI": lambda: call("ioctl", 2, TIOCSTI, empty),
        "mmap PROT_EXEC": executable_memory,
        "mprotect PROT_EXEC": made_executable,
    }


def main() -> None:
    told = Told(sys.argv[1:])
    from framegate_host.cages import CAGES
    from framegate_host.confinement import Confinement, Paths

    for library in ("pyseccomp", "landlockpy"):  # once, not in each of the processes below
        with contextlib.suppress(ImportError, RuntimeError):
            importlib.import_module(library)
    cage = CAGES.get(told.cage)
    if cage is not None:
        Confinement(cage)  # what binds to the kernel's layers is loaded once, not by every attempt
    answers: dict[str, str] = {}
    for name, attempt in attempts(told).items():
        if cage is None and name not in HARMLESS:
            continue
        # each in a process of its own, because some of them end it
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(write, 1)
            if cage is not None:
                confinement = Confinement(cage)
                confinement.isolate((0, 1, 2))
                confinement.close_paths(Paths(), (told.port + 1,) if cage.connects else ())
                confinement.close_calls()
            os.close(0)  # a lowest free descriptor is what a limit on descriptors cannot take
            os.write(1, attempt().encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            said = pipe.read().decode()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answers[name] = said or (signal.Signals(-status).name if status < 0 else f"exit {status}")
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
