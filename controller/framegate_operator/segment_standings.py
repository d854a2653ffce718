"""How the devices of a segment stand, out of rows that were listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from framegate.segment.policy import Segment
from framegate.segment.ruling import TRUSTED, DeviceStanding


def standings_of(
    devices: Iterable[Any], segment: Segment, told: Callable[[int], str]
) -> dict[str, DeviceStanding]:
    """Of every device that `segment` binds: its state, and since when, as `told` says a moment
    (milliseconds). A trusted one whose result ran out is stale.
    """
    rows = {d.device: d for d in devices}
    return {b.device: _standing(rows[b.device], told) for b in segment.bindings if b.device in rows}


def _standing(row: Any, told: Callable[[int], str]) -> DeviceStanding:
    if row.state == TRUSTED and not row.result_remaining_ms:
        return DeviceStanding(state="stale", why="its result ran out")
    why = "" if row.state == TRUSTED else f"{row.state} since {told(row.since_ms)}"
    return DeviceStanding(state=row.state, why=why)
