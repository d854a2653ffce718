"""What an interpreter runs first whose folder of modules this is (`set_clocks`): what it asks for
the time is answered by a clock of its own, in a file of eight bytes, nanoseconds ahead.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

_FILE = os.environ.get("FRAMEGATE_SIM_CLOCK", "")
if _FILE:
    with Path(_FILE).open("rb") as _file:  # mapped, as one that is confined later opens nothing
        _ahead = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
    _right_ns = time.time_ns

    def _time_ns() -> int:
        return _right_ns() + int.from_bytes(_ahead[:8], "little", signed=True)

    def _time() -> float:
        return _time_ns() / 1e9

    time.time_ns, time.time = _time_ns, _time
