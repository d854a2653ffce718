"""How a surface is learned, one way or another; how strange pictures are to it, and in which units
that counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framegate_models.descriptions import Descriptions
from framegate_models.nearest import seen_places
from framegate_models.surface import (
    Given,
    Scale,
    Surface,
    Unit,
    Units,
    hardly_above,
    unit_of,
    usual_places,
    usual_wholes,
)

Floats = NDArray[np.float64]

SCALES: Final = (Scale((3, 4), 16), Scale((5, 6), 32), Scale((1,), 4))
"""Places of 16 and of 32 pixels, and fine ones of 4: a scratch of one pixel is lost in larger ones.
On drawn plates with faint scratches fine places alone raise the area under ROC from 95 to 99 %.
"""
HEAT_SHARE: Final = 0.2
"""Of the false alarms that are promised, where places are told by what was seen there: hot places
alone. The score, which they count in too, has the rest: on magnetic tiles places alone tell less.
"""


class Way(NamedTuple):
    """A way to learn: each picture brought to one contrast and its proportions kept (`evened`), or
    as it is; places told by the `nearest` that was seen there, or by their middle; `fine` places
    beside them or none.
    """

    evened: bool
    nearest: bool
    fine: bool = False

    def __str__(self) -> str:
        light = "at one contrast" if self.evened else "as taken"
        by = "the nearest seen" if self.nearest else "the middle"
        return f"{light}, by {by}{' and fine places' if self.fine else ''}"


def learned_surfaces(
    ways: Sequence[Way],
    looked: Descriptions,
    parts: NDArray[np.int64],
    given: Given,
    rng: np.random.Generator,
) -> list[Surface]:
    """What is usual in descriptions of pictures that show the `parts` (n,), learned in each of the
    `ways`, the units still those of single numbers.
    """
    middling, coarse, fine = looked.scales
    places, finest = usual_places(middling, rng), usual_places(fine, rng)
    surfaces = []
    for way in ways:
        if way.nearest:
            seen = seen_places((middling, coarse), parts[looked.pictures], rng)
            surfaces.append(Surface(given, SCALES, (places,), finest, seen))
        else:
            both, wholes = (places, usual_places(coarse, rng)), usual_wholes(middling)
            surfaces.append(Surface(given, SCALES, both, finest, wholes))
    return surfaces


def units_of(way: Way, numbers: Floats, rate: float) -> Units:
    """Units by which a sound picture's score or its hottest place is above 0 at `rate`, by the
    `numbers` (n, k) of sound pictures that were not learned from; the last is of fine places.
    """
    each = tuple(unit_of(column) for column in numbers.T)
    together = of_pictures(way, numbers, each)
    # the middle's are told in the units of single numbers, as fine ones are
    picture = unit_of(together) if way.nearest else Unit()
    share = HEAT_SHARE if way.nearest else 0.0
    score = _with_fine(way, (together - picture.mean) / picture.spread, numbers, each[-1])
    most = hardly_above(score, rate * (1 - share))
    heat = most
    if way.nearest:
        heat = hardly_above((numbers[:, 0] - each[0].mean) / each[0].spread, rate * share)
    return Units(
        each,
        replace(picture, most=most),
        replace(each[0], most=heat),
        replace(each[-1], most=most) if way.fine else None,
    )


def of_pictures(way: Way, numbers: Floats, each: tuple[Unit, ...]) -> Floats:
    """How strange pictures are (n,) but for fine places: the mean of what was seen at their places,
    each as usual; or the stranger of their hottest place and the whole.
    """
    usual = np.stack([(v - u.mean) / u.spread for v, u in zip(numbers.T, each, strict=True)][:-1])
    return np.asarray(usual.mean(axis=0) if way.nearest else usual.max(axis=0), np.float64)


def _with_fine(way: Way, score: Floats, numbers: Floats, unit: Unit) -> Floats:
    """The stranger of `score` and of the hottest fine place, where those count."""
    if not way.fine:
        return score
    return np.asarray(np.maximum(score, (numbers[:, -1] - unit.mean) / unit.spread), np.float64)


class Strange(NamedTuple):
    """Of pictures (n,): how far their score is above what sound parts hardly show, and how far the
    stranger of it and of the hottest place.
    """

    score: Floats
    most: Floats


def strange_by(way: Way, numbers: Floats, units: Units) -> Strange:
    """How strange pictures are by their `numbers` (n, k): a DEFECT is above 0 by `most`."""
    picture, heat = units.picture, units.heat
    score = (of_pictures(way, numbers, units.numbers) - picture.mean) / picture.spread
    score = _with_fine(way, score, numbers, units.numbers[-1]) - picture.most
    top = (numbers[:, 0] - heat.mean) / heat.spread - heat.most
    return Strange(score, np.maximum(score, top))
