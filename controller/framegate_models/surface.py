"""What is usual of a surface: at each place and scale a middle and how far sound parts are from it;
and how sound parts look as a whole, or what they showed at each place (`nearest`).

Distances are Mahalanobis' over a backbone's maps (Rippel et al. 2021, Defard et al. 2021), in
logarithms, each place by what is usual there: edges of a part vary more than its middle. Of the
whole every sound picture is kept, and the nearest counts, as in PatchCore's memory (Roth et al.
2022): parts under several lights are several crowds, which have no middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate_models.backbone import CHANNELS

Floats = NDArray[np.float32]

MAX_PLACES: Final = 60_000
"""Places of one scale that directions are learned from, drawn by chance: more hardly turn them."""
PLACE_SHRINK: Final = 0.05
WHOLE_SHRINK: Final = 0.1
"""How far correlations are pulled towards none; there are fewer pictures than places."""
STEADY: Final = 0.1
"""Of the mean spread of all places, added to each one's: a place that never varied by chance must
not be made much of.
"""
LEAST_FAR: Final = 1e-3
"""Distances are not taken for less: two files of one picture are no measure."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Stages of the backbone whose maps together describe a place of `stride` pixels."""

    stages: tuple[int, ...]
    stride: int

    @property
    def channels(self) -> int:
        """Numbers that describe a place."""
        return sum(CHANNELS[stage] for stage in self.stages)

    def grid(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Places down and across of an input of `sides` (h, w)."""
        return sides[0] // self.stride, sides[1] // self.stride


@dataclass(frozen=True, slots=True)
class Places:
    """At one scale: descriptions x (c, h, w) less `middle` (c, h, w), by `whitening` (c, c), have a
    length whose logarithm is `usual` (h, w), give or take `spread` (h, w), on sound parts.
    """

    middle: Floats
    whitening: Floats
    usual: Floats
    spread: Floats


@dataclass(frozen=True, slots=True)
class Wholes:
    """Means of descriptions (c,) become (x - mean) @ whitening; `seen` (n, c) are those of sound
    pictures there.
    """

    mean: Floats
    whitening: Floats
    seen: Floats


@dataclass(frozen=True, slots=True)
class Seen:
    """What sound parts showed at each place of the coarser grid: descriptions x (c,) become
    (x - mean) @ directions (c, d); `pictures` (h * w, n, d) are those of sound ones. The logarithm
    of the distance from the nearest is `usual` (h, w), give or take `spread` (h, w).
    """

    mean: Floats
    directions: Floats
    pictures: Floats
    usual: Floats
    spread: Floats


@dataclass(frozen=True, slots=True)
class Unit:
    """A strangeness v counts as (v - mean) / spread - most: above 0, sound parts hardly come."""

    mean: float = 0.0
    spread: float = 1.0
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class Units:
    """Of the `numbers` that say how strange a picture is, each; of the `picture`, which they make
    up together; and of the hottest place of its `heat` map.
    """

    numbers: tuple[Unit, ...] = ()
    picture: Unit = Unit()
    heat: Unit = Unit()


@dataclass(frozen=True, slots=True)
class Given:
    """The network's input: its `sides` (h, w); the number that lies `beside` pictures of other
    proportions, None where they are stretched; whether each is brought to one contrast (`evened`).
    """

    sides: tuple[int, int]
    beside: float | None = None
    evened: bool = False


@dataclass(frozen=True, slots=True)
class Surface:
    """What was learned of an input as `given`: places at the first `scales` or all; beside them
    wholes by the first scale's descriptions, or what was seen at each place of the coarser grid;
    and in which units their strangeness counts.
    """

    given: Given
    scales: tuple[Scale, Scale]
    places: tuple[Places, ...]
    beside: Wholes | Seen
    units: Units = Units()


def usual_places(described: NDArray[Any], rng: np.random.Generator) -> Places:
    """What is usual of the places in `described` (n, c, h, w)."""
    n, c, h, w = described.shape
    middle = described.mean(axis=0, dtype=np.float32)
    each = min(h * w, max(8, MAX_PLACES // n))
    rows = np.empty((n * each, c), np.float32)
    for number in range(n):
        picked = rng.choice(h * w, each, replace=False)
        off = (described[number] - middle).reshape(c, -1)[:, picked]
        rows[number * each : (number + 1) * each] = off.T
    whitening = whitened(rows, PLACE_SHRINK).whitening
    far = np.empty((n, h * w), np.float32)
    for number in range(n):
        space = (described[number] - middle).reshape(c, -1).T @ whitening
        far[number] = np.log(np.maximum(np.linalg.norm(space, axis=1), LEAST_FAR))
    usual: Floats = far.mean(axis=0, dtype=np.float32)
    spread: Floats = far.std(axis=0, dtype=np.float32)
    spread += np.float32(STEADY * spread.mean() + 1e-6)
    return Places(middle, whitening, usual.reshape(h, w), spread.reshape(h, w))


def usual_wholes(described: NDArray[Any]) -> Wholes:
    """What is usual of pictures as a whole, by `described` (n, c, h, w)."""
    rows = described.mean(axis=(2, 3), dtype=np.float32)
    space = whitened(rows, WHOLE_SHRINK)
    seen: Floats = np.asarray((rows - space.mean) @ space.whitening, np.float32)
    return Wholes(space.mean, space.whitening, seen)


@dataclass(frozen=True, slots=True)
class Whitened:
    """A space's origin (c,) and its directions (c, c)."""

    mean: Floats
    whitening: Floats


def whitened(rows: Floats, shrink: float) -> Whitened:
    """The space in which `rows` (n, c) vary alike in all directions; correlations are shrunk, since
    of few rows some are an accident.
    """
    mean = rows.mean(axis=0)
    off = rows - mean
    covariance = (off.T @ off).astype(np.float64) / len(rows)
    spread = np.sqrt(np.diag(covariance)) + 1e-6
    correlation = covariance / spread / spread[:, None]
    correlation = (1 - shrink) * correlation + shrink * np.eye(len(spread))
    lower = np.linalg.cholesky(np.linalg.inv(correlation))
    return Whitened(mean.astype(np.float32), (lower / spread[:, None]).astype(np.float32))


def unit_of(values: NDArray[np.float64]) -> Unit:
    """Mean and spread of what sound parts show."""
    return Unit(float(values.mean()), float(values.std()) + 1e-6)


def hardly_above(
    values: Sequence[float] | NDArray[np.float64], rate: float, each: int = 1
) -> float:
    """What a sound part shows more than at `rate`, by values (logarithms of distances) of sound
    parts that were not learned from, `each` so many times.

    Where there are enough parts it lies between two of their values, so that a further one is above
    at that rate on average, whatever the distribution (of n in order, a next one is below the k-th
    at k / (n + 1)). Of fewer, none is above, and besides they are taken for normal, with Student's
    allowance for a mean and a deviation that few say.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    n = len(ordered) // each
    place = (n + 1) * (1 - rate)
    if place <= n:
        return float(np.interp(place * each, np.arange(1, len(ordered) + 1), ordered))
    z, free = NormalDist().inv_cdf(1 - rate), n - 1
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    bound = float(ordered.mean() + student * ordered.std(ddof=1) * math.sqrt(1 + 1 / n))
    return max(bound, float(ordered[-1]))
