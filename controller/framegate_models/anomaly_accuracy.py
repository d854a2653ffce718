"""Accuracy of a model that tells sound parts from others: areas under ROC curves over pictures and
pixels, recall at a stated rate of false alarms, and what the threshold in force does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVELS: Final = 4096
"""Steps of a heat in [0, 1] that the curve over pixels tells apart: it moves by less than 0.01 %
with ten times as many.
"""
CONFIDENCE: Final = 1.96
"""Standard deviations of a 95 % interval."""


def auroc(bad: Sequence[float] | Floats, good: Sequence[float] | Floats) -> float:
    """The area under the ROC curve: how often a bad one has the higher score, ties counting half.
    NaN where there are none of either.
    """
    if not len(bad) or not len(good):
        return math.nan
    low = np.sort(np.asarray(good, np.float64))
    values = np.asarray(bad, np.float64)
    below = np.searchsorted(low, values, "left") + np.searchsorted(low, values, "right")
    return float(below.mean() / 2 / len(low))


def recall_at(bad: Sequence[float], good: Sequence[float], rate: float) -> float:
    """The share of bad ones above the score that at most `rate` of the good ones are above. NaN
    where there are none of either.
    """
    if not len(bad) or not len(good):
        return math.nan
    allowed = int(rate * len(good))
    least = np.sort(np.asarray(good))[::-1][min(allowed, len(good) - 1)]
    return float((np.asarray(bad) > least).mean())


def recall_up_to(
    bad: Sequence[float] | Floats, good: Sequence[float] | Floats, most: float
) -> float:
    """The mean share of bad ones found as false alarms go from none to the share `most`: the left
    end of the ROC curve, where a line runs. NaN where there are none of either.
    """
    if not len(bad) or not len(good):
        return math.nan
    limits = np.sort(np.asarray(good, np.float64))[::-1][: int(most * len(good)) + 1]
    return float((np.asarray(bad, np.float64)[:, None] > limits).mean())


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, and the 95 % interval of the share behind it (Wilson 1927)."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Least and most, in [0, 1]."""
        if not self.of:
            return 0.0, 1.0
        share, z = self.count / self.of, CONFIDENCE
        middle = (share + z * z / (2 * self.of)) / (1 + z * z / self.of)
        half = (
            z
            / (1 + z * z / self.of)
            * math.sqrt(share * (1 - share) / self.of + z * z / (4 * self.of**2))
        )
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = (100 * v for v in self.interval)
        share = 100 * self.count / max(1, self.of)
        return f"{self.count} of {self.of}: {share:.1f} % (95 %: {low:.1f} to {high:.1f} %)"


class PixelCurve:
    """Counts heat inside and outside of defects, picture by picture."""

    def __init__(self) -> None:
        self._inside, self._outside = np.zeros(LEVELS, np.int64), np.zeros(LEVELS, np.int64)

    def count(self, heat: NDArray[np.float32], where: NDArray[np.bool_]) -> None:
        """Take in the heat (h, w) in [0, 1] of a picture whose defects are `where` (h, w)."""
        level = np.clip(heat * (LEVELS - 1), 0, LEVELS - 1).astype(np.int64)
        self._inside += np.bincount(level[where], minlength=LEVELS)
        self._outside += np.bincount(level[~where], minlength=LEVELS)

    @property
    def area(self) -> float:
        """Under the ROC curve; NaN where no picture said where its defects are."""
        inside, outside = self._inside.sum(), self._outside.sum()
        if not inside or not outside:
            return math.nan
        below = np.cumsum(self._outside) - self._outside / 2
        return float((self._inside * below).sum() / inside / outside)


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture: what it shows ("" for a sound part), its score, and whether it is DEFECT."""

    name: str
    shows: str
    score: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """Of one kind of defect: how many pictures, area, recall at the stated rate of false alarms,
    and how many are DEFECT at the threshold in force.
    """

    pictures: int
    auroc: float
    recall: float
    flagged: int


@dataclass(frozen=True, slots=True)
class AnomalyAccuracy:
    """All figures over one set of pictures. `rate` is that of false alarms which recall is at;
    `pixel_auroc` NaN where no picture has a mask.
    """

    rate: float
    good: Share
    bad: Share
    image_auroc: float
    pixel_auroc: float
    recall: float
    classes: Mapping[str, ClassAccuracy]

    def as_dict(self) -> dict[str, Any]:
        """As JSON; what was not to be had is null."""
        return {
            "good_images": self.good.of,
            "good_images_flagged": self.good.count,
            "false_alarms_95": [round(v, 4) for v in self.good.interval],
            "bad_images": self.bad.of,
            "bad_images_missed": self.bad.of - self.bad.count,
            "image_auroc": _rounded(self.image_auroc),
            "pixel_auroc": _rounded(self.pixel_auroc),
            "rate": self.rate,
            "recall": _rounded(self.recall),
            "classes": {
                name: {
                    "images": one.pictures,
                    "auroc": _rounded(one.auroc),
                    "recall": _rounded(one.recall),
                    "flagged": one.flagged,
                }
                for name, one in self.classes.items()
            },
        }


def anomaly_accuracy(judged: Sequence[Judged], pixels: PixelCurve, rate: float) -> AnomalyAccuracy:
    """The figures of pictures that a model has judged."""
    good = [one for one in judged if not one.shows]
    bad = [one for one in judged if one.shows]
    sound = [one.score for one in good]
    classes = {}
    for name in sorted({one.shows for one in bad}):
        mine = [one for one in bad if one.shows == name]
        scores = [one.score for one in mine]
        classes[name] = ClassAccuracy(
            len(mine),
            auroc(scores, sound),
            recall_at(scores, sound, rate),
            sum(one.flagged for one in mine),
        )
    scores = [one.score for one in bad]
    return AnomalyAccuracy(
        rate,
        Share(sum(one.flagged for one in good), len(good)),
        Share(sum(one.flagged for one in bad), len(bad)),
        auroc(scores, sound),
        pixels.area,
        recall_at(scores, sound, rate),
        classes,
    )


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
