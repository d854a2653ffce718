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

SCALES: Final = (Scale((3, 4), 16), Scale((5, 6), 32))
"""Places of 16 and of 32 pixels. On magnetic tiles, places of 8 found little that these do not."""
HEAT_SHARE: Final = 0.02
"""Of the false alarms that are promised, where places are told by what was seen there: hot places
alone. The score, which they count in too, has the rest: on magnetic tiles hot places alone found
nothing, and a fifth or a tenth for them was lost to the score.
"""


class Way(NamedTuple):
    """A way to learn: each picture brought to one contrast and its proportions kept (`evened`), or
    as it is; places told by the `nearest` that was seen there, or by their middle.
    """

    evened: bool
    nearest: bool

    def __str__(self) -> str:
        light = "at one contrast" if self.evened else "as taken"
        return f"{light}, by {'the nearest seen' if self.nearest else 'the middle'}"


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
    fine, coarse = looked.scales
    places = usual_places(fine, rng)
    surfaces = []
    for way in ways:
        if way.nearest:
            seen = seen_places(looked.scales, parts[looked.pictures], rng)
            surfaces.append(Surface(given, SCALES, (places,), seen))
        else:
            both = places, usual_places(coarse, rng)
            surfaces.append(Surface(given, SCALES, both, usual_wholes(fine)))
    return surfaces


def units_of(way: Way, shown: Sequence[Floats], rate: float, times: int = 1) -> Units:
    """Units by which a sound picture's score or its hottest place is above 0 at `rate`, by the
    numbers (n, k) of sound pictures that were not learned from, each so many `times`: the same
    pictures `shown` in one way or several, of each of which that holds.
    """
    numbers = np.concatenate(shown)
    each = tuple(unit_of(column) for column in numbers.T)
    together = [of_pictures(way, one, each) for one in shown]
    if not way.nearest:
        most = max(hardly_above(one, rate, times) for one in together)
        return Units(each, Unit(most=most), replace(each[0], most=most))
    picture = unit_of(np.concatenate(together))
    scores = [(one - picture.mean) / picture.spread for one in together]
    tops = [(one[:, 0] - each[0].mean) / each[0].spread for one in shown]
    by_score, by_top = rate * (1 - HEAT_SHARE), rate * HEAT_SHARE
    return Units(
        each,
        replace(picture, most=max(hardly_above(one, by_score, times) for one in scores)),
        replace(each[0], most=max(hardly_above(one, by_top, times) for one in tops)),
    )


def of_pictures(way: Way, numbers: Floats, each: tuple[Unit, ...]) -> Floats:
    """How strange pictures are (n,): the mean of what was seen at their places, each as usual; or
    the stranger of their hottest place and the whole.
    """
    usual = np.stack([(v - u.mean) / u.spread for v, u in zip(numbers.T, each, strict=True)])
    return np.asarray(usual.mean(axis=0) if way.nearest else usual.max(axis=0), np.float64)


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
    score = score - picture.most
    top = (numbers[:, 0] - heat.mean) / heat.spread - heat.most
    return Strange(score, np.maximum(score, top))
