"""A bounded share of a processor for a process and its children, by the kernel's control groups,
version 1 or 2: what makes a controller's processor the limit of a run, and not the host's.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from framegate.errors import Reason, Unavailable

PERIOD_US: Final = 20_000
"""In each of which a group has its share. Short, so that it is like a slower processor: with the
kernel's own 100 ms a controller would stand still for 75 of them, its turn to write in its hand.
"""
LEAST: Final = 5
"""Percent: a millisecond of a period, the least that the kernel takes."""
MOUNTS: Final = Path("/proc/self/mountinfo")
_HINT: Final = "run it as root on a host that has them, or leave --controller-share out"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where groups of the processor are made, and by which version's files."""

    folder: Path
    version: int

    @classmethod
    def found(cls, mounts: str | None = None) -> Self:
        """Where this host has it; `mounts` as /proc/self/mountinfo has them (proc(5)). Version 1's
        is taken where it has the processor. Raises Unavailable.
        """
        unified = None
        for line in (MOUNTS.read_text() if mounts is None else mounts).splitlines():
            before, _, after = line.partition(" - ")
            place, kind = before.split(" "), after.split(" ")
            if len(place) < 5 or len(kind) < 3:
                continue
            folder = Path(place[4].encode().decode("unicode_escape"))
            if kind[0] == "cgroup" and "cpu" in kind[2].split(","):
                return cls(folder, 1)
            if kind[0] == "cgroup2":
                unified = folder
        if unified is None:
            wanted, seen = "a control group hierarchy of the processor", "none that is mounted"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, seen, _HINT)
        return cls(unified, 2)


@dataclass(frozen=True, slots=True)
class Throttled:
    """Of a group's periods with work in them: how many there were, and in how many it had used its
    share up.
    """

    periods: int = 0
    used_up: int = 0

    def since(self, before: Throttled) -> float:
        """In which share of the periods since `before`; 0 where there were none."""
        periods = self.periods - before.periods
        return (self.used_up - before.used_up) / periods if periods else 0.0

    def __add__(self, other: Throttled) -> Throttled:
        return Throttled(self.periods + other.periods, self.used_up + other.used_up)


@dataclass(frozen=True, slots=True)
class ProcessorShare:
    """A group; whoever writes 0 into `entry` is in it from then on, and what it starts."""

    folder: Path

    @property
    def entry(self) -> Path:
        """The file by which a process goes in."""
        return self.folder / "cgroup.procs"

    def throttled(self) -> Throttled:
        """So far. Raises Unavailable."""
        with _told("a group's count of its periods"):
            lines = (self.folder / "cpu.stat").read_text().splitlines()
        stat = {name: value for name, _, value in (line.partition(" ") for line in lines)}
        return Throttled(int(stat.get("nr_periods", 0)), int(stat.get("nr_throttled", 0)))


@contextmanager
def processor_share(percent: float, there: Hierarchy | None = None) -> Iterator[ProcessorShare]:
    """A group that gets `percent` of one processor, in every `PERIOD_US`, as long as the block
    lasts; its processes have to end before. Raises Unavailable where the kernel or the user's
    rights do not have it.
    """
    there = there or Hierarchy.found()
    wanted = f"a control group with {percent:g} % of a processor below {there.folder}"
    with _told(wanted):
        if there.version == 2:
            _hand_down(there.folder)
        folder = Path(tempfile.mkdtemp(prefix="framegate-sim-", dir=there.folder))
    try:
        with _told(wanted):
            _bound(folder, there.version, int(PERIOD_US * percent / 100))
        yield ProcessorShare(folder)
    finally:
        with contextlib.suppress(OSError):  # what is left is an empty group
            folder.rmdir()


def _hand_down(root: Path) -> None:
    """Version 2: groups below `root` may be bounded only where it says so."""
    control = root / "cgroup.subtree_control"
    if "cpu" not in control.read_text().split():
        control.write_text("+cpu")


def _bound(folder: Path, version: int, quota_us: int) -> None:
    if version == 2:
        (folder / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        return
    (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (folder / "cpu.cfs_quota_us").write_text(str(quota_us))


@contextmanager
def _told(wanted: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE, wanted, error.strerror or str(error), _HINT
        ) from error
