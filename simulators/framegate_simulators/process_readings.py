"""What /proc says of a process of this machine, while threads of it end and files of it close."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_AFTER_STATE: Final = slice(11, 15)
"""In /proc/PID/stat from the state on: user and system time, and those of children that ended and
were waited for (proc_pid_stat(5), fields 14 to 17), in clock ticks.
"""


def children_of(pid: int) -> list[int]:
    """Children of a process. A child stands with the thread that began it, which need not be the
    first one (proc_pid_task(5)); none of a process that is gone.
    """
    found = list[int]()
    for children in sorted(Path(f"/proc/{pid}/task").glob("*/children")):
        with contextlib.suppress(OSError):  # that thread has ended meanwhile
            found += (int(child) for child in children.read_text().split())
    return found


def processor_s(pid: int, *, ended_children: bool = False) -> float:
    """Seconds of a processor that a process took so far; with those of its children that ended
    where they are wanted. Raises OSError where it is gone.
    """
    stat = Path(f"/proc/{pid}/stat").read_text()
    own, system, *children = map(int, stat.rpartition(")")[2].split()[_AFTER_STATE])
    return (own + system + (sum(children) if ended_children else 0)) * _TICK_S


def resident_kib(pid: int) -> int:
    """Resident memory in KiB; 0 of a process that has ended."""
    return status_kib(pid, "VmRSS")


def status_kib(pid: int, name: str) -> int:
    """What /proc/PID/status says under `name`, a name of memory (proc_pid_status(5)), in KiB; 0 of
    a process that has ended, whether or not it was waited for.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def descriptors_of(pid: int) -> Iterator[tuple[int, str]]:
    """(number, what it leads to) of each descriptor that a process has. Raises PermissionError
    where this user may not look.
    """
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            yield int(each.name), str(each.readlink())
