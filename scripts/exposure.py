"""How much each unit exposes, as `systemd-analyze security` counts it; over `MOST` is a fault.

The drop-ins that other packages bring are counted, each by itself, with the unit that they change.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNITS: Final = Path(__file__).parents[1] / "packaging/systemd"
MOST: Final = 2.0
"""Of ten. What remains is a network, Unix sockets, and namespaces for the children's cages."""
WITH: Final = {
    "10-gateway.conf": "on a gateway's host",
    "10-tpm.conf": "with its CAs in a TPM",
}
"""What a drop-in is for, in words."""
_SAID: Final = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Exposure:
    """A unit by itself, or with a drop-in."""

    name: str
    level: float


def exposures() -> Iterator[Exposure]:
    """Each unit's. Raises RuntimeError where systemd-analyze says something else."""
    for unit in sorted(UNITS.glob("*.service")):
        with tempfile.TemporaryDirectory() as scratch:
            copied = Path(shutil.copy(unit, scratch))
            yield Exposure(unit.name, _level(copied))
            for dropin in sorted((UNITS / f"{unit.name}.d").glob("*.conf")):
                beside = Path(f"{copied}.d")
                beside.mkdir()
                shutil.copy(dropin, beside)
                yield Exposure(f"{unit.name}, {WITH[dropin.name]}", _level(copied))
                shutil.rmtree(beside)


def _level(unit: Path) -> float:
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", unit],
        check=False,
        capture_output=True,
        text=True,
    )
    level = _SAID.search(told.stdout)
    if level is None:
        raise RuntimeError(f"systemd-analyze: {told.stderr.strip()[-300:]}")
    return float(level[1])


def main() -> int:
    """0 where no unit exposes more than `MOST`, or nobody is here to count."""
    if shutil.which("systemd-analyze") is None:
        print("exposure of units: no systemd-analyze here, not counted", file=sys.stderr)
        return 0
    faults = [e for e in exposures() if e.level > MOST]
    for fault in faults:
        print(f"{fault.name}: exposure {fault.level}, at most {MOST}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
