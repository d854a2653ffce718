"""The logs of a plant's processes as one stream: each line as it is written, under the name of its
process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOOK_S: Final = 0.2
MAX_LINE: Final = 64 * 1024
"""A line longer than that is shown in pieces: memory must not follow a process that ends none."""


class LogTail:
    """Follows every `NAME.log` in `folder`, from its present end on, those that come later
    included. Use as a context manager; `show` is called with (name, line) in a thread of its own.
    """

    def __init__(self, folder: Path, show: Callable[[str, str], None]) -> None:
        self._folder, self._show = folder, show
        self._read: dict[Path, int] = {}
        self._rest: dict[Path, bytes] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log-tail", daemon=True)

    def __enter__(self) -> LogTail:
        for path in self._folder.glob("*.log"):
            self._read[path] = path.stat().st_size
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.look()

    def look(self) -> None:
        """Show what was written since the last look."""
        for path in sorted(self._folder.glob("*.log")):
            with path.open("rb") as log:
                log.seek(self._read.get(path, 0))
                new = log.read(MAX_LINE)
            self._read[path] = self._read.get(path, 0) + len(new)
            *lines, rest = (self._rest.get(path, b"") + new).split(b"\n")
            if len(rest) > MAX_LINE:
                lines, rest = [*lines, rest], b""
            self._rest[path] = rest
            for line in lines:
                self._show(path.stem, line.decode(errors="replace"))

    def _follow(self) -> None:
        while not self._over.wait(LOOK_S):
            self.look()
