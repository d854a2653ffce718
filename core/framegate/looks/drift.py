"""Slow change of what a camera sees, told before a limit refuses it: a cumulative sum for each look
(Page, Continuous Inspection Schemes, Biometrika 41, 1954), against what was measured at
commissioning and never against last week: a baseline that learns follows whoever moves it (N183).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from framegate.looks.kinds import KINDS, Look
from framegate.looks.limits import Limit

ALLOWANCE: Final = 0.5
"""Deviations from the middle that add nothing: parts and light are never quite the same."""
MOST_STEP: Final = 4.0
"""Deviations that one frame counts at most: one bad frame is no drift."""
DECISION: Final = 16.0
"""The sum that is told, and no more is kept: 5 frames four deviations off, 32 that lie one off. Of
frames that are as they were at commissioning some ten million go by before chance reaches it.
"""
_NO_DRIFT: Final = frozenset({Look.GROUNDLESS, Look.CAMERA_FINGERPRINT})
MOST_FOLLOWED: Final = 20_000
"""Sums that are kept: fifteen looks of some 1,300 pairs of camera and part type."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A look that drifts: where sound frames were (`centre`) and where frames are now."""

    look: Look
    centre: float
    now: float

    @property
    def words(self) -> str:
        """For whoever keeps the line."""
        return f"{self.look}: {self.now:.3g} lately, {self.centre:.3g} at commissioning"


@dataclass(slots=True)
class _Sum:
    above: float = 0.0
    mean: float = 0.0
    told: bool = False


@dataclass(slots=True)
class DriftWatch:
    """Sums of every camera's looks by part type; the longest unseen go first."""

    sums: OrderedDict[tuple[str, str], dict[Look, _Sum]] = field(default_factory=OrderedDict)

    def see(
        self,
        device: str,
        part_type: str,
        limits: Iterable[Limit],
        measured: Mapping[Look, float],
    ) -> tuple[Drift, ...]:
        """What drifts from this frame on; told once, and again after the sum was back at nothing.

        Only the suspicious side counts: sharper, or more like the golden image, is no trouble, but
        for looks whose suspicious side that is. Detections have no usual ground to drift from, and
        what is measured of a window of frames is hardly another from one frame to the next.
        """
        own = self.sums.setdefault((device, part_type), {})
        self.sums.move_to_end((device, part_type))
        if len(self.sums) * len(Look) > MOST_FOLLOWED:
            self.sums.popitem(last=False)
        return tuple(
            drift
            for limit in limits
            if limit.look in measured and limit.look not in _NO_DRIFT
            for drift in _stepped(own.setdefault(limit.look, _Sum()), limit, measured[limit.look])
        )


def _stepped(total: _Sum, limit: Limit, value: float) -> tuple[Drift, ...]:
    turn = 1.0 if KINDS[limit.look].is_most else -1.0
    off = turn * (value - limit.centre) / limit.spread if limit.spread else 0.0
    off = min(MOST_STEP, max(-MOST_STEP, off))
    if total.above == 0:
        total.mean = value
    total.above = min(DECISION, max(0.0, total.above + off - ALLOWANCE))
    total.mean += (value - total.mean) / 16
    if total.above == 0:
        total.told = False
    if total.above < DECISION or total.told:
        return ()
    total.told = True
    return (Drift(limit.look, limit.centre, total.mean),)
