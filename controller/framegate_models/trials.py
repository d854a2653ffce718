"""What came of the ways of learning that were tried, and which of them was taken, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from framegate_gateway.inference.recipe import PictureInput
from framegate_models.comparing import Told
from framegate_models.strangeness import Floats, Way, strange_by
from framegate_models.surface import Surface, Units

USUAL: Final = Way(evened=True, nearest=True)
"""What holds for most: parts under several lights or in several shapes have no one middle. Where a
part always looks alike, the middle finds more, and clearly so.
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """A way and what came of it: `numbers` (n, k) of the sound pictures by what was learned from
    others, and of the same as cameras send them (`sent`), the `units` made of these; of pictures
    with drawn damage what was `told`, the area under ROC, the mean share found up to the promised
    rate of false alarms (`near`), and the share that is DEFECT by those units.
    """

    way: Way
    numbers: Floats
    sent: Floats
    units: Units
    told: Told
    auroc: float
    near: float
    flagged: float

    @property
    def drawn(self) -> int:
        """Pictures with damage."""
        return len(self.told.damaged)

    @property
    def strange(self) -> Floats:
        """How far above what they hardly ever show the sound pictures are (n,)."""
        return strange_by(self.way, self.numbers, self.units).most


@dataclass(frozen=True, slots=True)
class Chosen:
    """The surface learned in the way that was taken, for pictures that come as `given` and are
    described by the graph `describing`; its trial and those of all ways that were tried, compared
    `up_to` a share of false alarms; and in which share of resamples (`surely`) the usual way found
    less, for each that was tried.
    """

    describing: bytes
    surface: Surface
    given: PictureInput
    trial: Trial
    trials: tuple[Trial, ...]
    up_to: float
    surely: tuple[float, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """What was tried and chosen, for whoever signs it."""
        best, rate = self.trial, f"{100 * self.up_to:g} %"
        why = "no other way finds clearly more"
        if best.way != USUAL:
            why = f"it finds clearly more than what is usual ({USUAL})"
        lines = [
            f"learned {best.way}: of {len(self.trials)} ways, {why} (up to {rate} false alarms, of"
            f" {best.drawn} scratches, spots, patches, blurs and chips drawn on sound pictures that"
            " it had not learned from)"
        ]
        for one, surely in zip(self.trials, self.surely, strict=True):
            against = " (usual)" if one.way == USUAL else f", more in {100 * surely:.0f} % of draws"
            lines.append(
                f"{one.way}: {100 * one.near:.1f} % found{against},"
                f" {100 * one.flagged:.0f} % DEFECT, area under ROC {100 * one.auroc:.1f} %"
                f"{' (chosen)' if one is best else ''}"
            )
        return tuple(lines)

    def as_rows(self) -> list[dict[str, Any]]:
        """As a card has it."""
        return [
            {
                "way": str(one.way),
                "drawn": one.drawn,
                "drawn_found": round(one.near, 4),
                "more_than_usual": round(surely, 4),
                "up_to": self.up_to,
                "drawn_flagged": round(one.flagged, 4),
                "drawn_auroc": round(one.auroc, 4),
                "chosen": one is self.trial,
            }
            for one, surely in zip(self.trials, self.surely, strict=True)
        ]
