"""Clocks of single programs that can be set while those run: what a host's clock is that somebody
sets, or that NTP steps, as Framegate asks it. Monotonic clocks go on, as they do there; what
libraries ask the kernel themselves, TLS for the life of certificates, is the host's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

HOOK: Final = Path(__file__).parent / "own_clock"
_NS: Final = 1_000_000_000


class SetClocks:
    """Clocks by the names of programs, each a file in `folder`; they are right until they are
    `step`ped.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder

    def command(self, name: str) -> tuple[str, ...]:
        """What goes before the program of this name, so that it goes by its own clock."""
        self.step(name, 0)
        return (
            "/usr/bin/env",
            f"PYTHONPATH={HOOK}",
            f"FRAMEGATE_SIM_CLOCK={self._folder / name}",
        )

    def step(self, name: str, by_s: int) -> None:
        """Set the clock of this program so far ahead of what is right, or behind it."""
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, (by_s * _NS).to_bytes(8, "little", signed=True), 0)
        finally:
            os.close(descriptor)
