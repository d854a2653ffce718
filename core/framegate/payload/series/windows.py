"""The latest windows of each sensor: time goes on from one to the next, or it is an old one (N200).

Admission refuses the same bytes under another trigger; here is refused what was cut, shifted or
sealed anew out of what was measured before.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from framegate.errors import Reason, Refused
from framegate.payload.contract import MOST_UNCERTAIN_MS, Asked
from framegate.payload.series.form import Series

KEPT: Final = 32
"""Windows of one sensor that may come a second time because their answer was lost: twice as many as
an agent has on the way.
"""
MAX_SENSORS: Final = 1024
DATED_SLACK_MS: Final = 2_000
"""Between a window's last sample and the time at which its source says that it was captured."""


@dataclass(frozen=True, slots=True)
class _Window:
    first_us: int
    last_us: int
    trigger: int
    digest: bytes


class Windows:
    """Of all sensors of one child. `take` is called once for each window that is examined."""

    def __init__(self) -> None:
        self._latest: OrderedDict[tuple[str, str], deque[_Window]] = OrderedDict()

    def take(self, series: Series, digest: bytes, asked: Asked) -> None:
        """That this window goes on where the last one of its sensor ended, or is one of the last
        ones sent again, byte for byte under its own trigger; and that it was captured when it says.
        Raises Refused (PAYLOAD_REPLAYED).
        """
        late = asked.captured_at_ms - series.last_us / 1000
        if abs(late) > DATED_SLACK_MS + min(asked.uncertainty_ms, MOST_UNCERTAIN_MS):
            raise _replayed(
                "a window that ends when it was captured", f"one {late / 1000:.1f} s before"
            )
        key = (asked.camera, asked.part_type)
        latest = self._latest.setdefault(key, deque(maxlen=KEPT))
        self._latest.move_to_end(key)
        if len(self._latest) > MAX_SENSORS:
            self._latest.popitem(last=False)
        window = _Window(series.first_us, series.last_us, asked.trigger_sequence, digest)
        if window in latest:
            return
        if latest and window.first_us <= latest[-1].last_us:
            ago = (latest[-1].last_us - window.first_us) / 1e6
            raise _replayed(
                "a window that begins after the one before", f"{ago:.3f} s before its end"
            )
        latest.append(window)


def _replayed(expected: str, came: str) -> Refused:
    hint = "look at the sensor: does it give old blocks? is its clock set back?"
    return Refused.of(Reason.PAYLOAD_REPLAYED, expected, came, hint)
