"""Clocks of single programs that can be set while those run, by libfaketime: what a host's clock
is that somebody sets, or that NTP steps. Monotonic clocks go on, as they do there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PLACES: Final = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
_LOOKS_S: Final = 1
"""How often a program looks at what its clock was set to."""


def library() -> Path | None:
    """Where libfaketime is; None where it is not installed."""
    found = [path for place in _PLACES for path in Path("/").glob(place[1:])]
    return found[0] if found else None


class SetClocks:
    """Clocks by the names of programs, each a file in `folder`; they are right until they are
    `step`ped.
    """

    def __init__(self, folder: Path, library: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._library = folder, library

    def command(self, name: str) -> tuple[str, ...]:
        """What goes before the program of this name, so that it goes by its own clock."""
        file = self._folder / name
        if not file.exists():
            self.step(name, 0)
        return (
            "/usr/bin/env",
            f"LD_PRELOAD={self._library}",
            f"FAKETIME_TIMESTAMP_FILE={file}",
            f"FAKETIME_CACHE_DURATION={_LOOKS_S}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_DISABLE_SHM=1",
        )

    def step(self, name: str, by_s: int) -> None:
        """Set the clock of this program so far ahead of what is right, or behind it."""
        new = self._folder / f"{name}.new"
        new.write_text(f"{by_s:+d}\n")
        new.replace(self._folder / name)
