"""What is usual of a surface: for each scale the places seen on sound parts, as prototypes in a
space in which all directions vary alike, and what sound parts look like as a whole.

Prototypes are as PatchCore's memory (Roth et al. 2022), thinned by k-means; the space is that of a
Mahalanobis distance over a backbone's maps (Rippel et al. 2021), which is also what parts as a
whole are judged by.
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

MAX_PLACES: Final = 200_000
"""Places of one scale that are learned from, drawn by chance: more hardly move what is usual."""
ROUNDS: Final = 8
"""Of k-means: places change hands little after that."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Stages of the backbone whose maps together describe a place of `stride` pixels; `prototypes`
    usual places; `shrink` is how far correlations are pulled towards none.
    """

    stages: tuple[int, ...]
    stride: int
    prototypes: int
    shrink: float = 0.02

    @property
    def channels(self) -> int:
        """Numbers that describe a place."""
        return sum(CHANNELS[stage] for stage in self.stages)

    def grid(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Places down and across of an input of `sides` (h, w)."""
        return sides[0] // self.stride, sides[1] // self.stride


@dataclass(frozen=True, slots=True)
class Usual:
    """Descriptions x become (x - mean) @ whitening, in which distances to the `prototypes` (k, c)
    count, in units of `unit`.
    """

    mean: Floats
    whitening: Floats
    prototypes: Floats
    unit: float = 1.0


@dataclass(frozen=True, slots=True)
class Surface:
    """What was learned, for an input of `sides` (h, w): what is usual at each scale and, of each
    scale's mean over the picture, of the whole. A heat of `heat_unit`, a whole as far off as
    `whole_unit`, are as much as a sound part hardly ever shows.
    """

    sides: tuple[int, int]
    scales: tuple[Scale, ...]
    places: tuple[Usual, ...]
    wholes: tuple[Usual, ...]
    heat_unit: float = 1.0
    whole_unit: float = 1.0


def usual_places(described: NDArray[Any], scale: Scale, rng: np.random.Generator) -> Usual:
    """What is usual of the places in `described` (n, c, h, w)."""
    n, c, h, w = described.shape
    each = min(h * w, max(16, MAX_PLACES // n))
    rows = np.empty((n * each, c), np.float32)
    for number in range(n):
        picked = rng.choice(h * w, each, replace=False)
        rows[number * each : (number + 1) * each] = described[number].reshape(c, -1)[:, picked].T
    mean, whitening = whitened(rows, scale.shrink)
    space = (rows - mean) @ whitening
    prototypes = _thinned(space, scale.prototypes, rng)
    distances = np.sqrt(_nearest(space[:: max(1, len(space) // 20_000)], prototypes))
    return Usual(mean, whitening, prototypes, float(np.mean(distances)))


def usual_wholes(described: NDArray[Any], shrink: float) -> Usual:
    """What is usual of pictures as a whole: the means of `described` (n, c, h, w)."""
    rows = described.astype(np.float32).mean(axis=(2, 3))
    mean, whitening = whitened(rows, shrink)
    prototypes = np.zeros((1, rows.shape[1]), np.float32)
    distances = np.sqrt((((rows - mean) @ whitening) ** 2).sum(axis=1))
    return Usual(mean, whitening, prototypes, float(np.mean(distances)))


@dataclass(frozen=True, slots=True)
class Whitened:
    """A space's origin (c,) and its directions (c, c)."""

    mean: Floats
    whitening: Floats

    def __iter__(self) -> Any:
        return iter((self.mean, self.whitening))


def whitened(rows: Floats, shrink: float) -> Whitened:
    """The space in which `rows` (n, c) vary alike in all directions; correlations are shrunk, since
    of few rows some are an accident, and directions that never varied are not made much of.
    """
    mean = rows.mean(axis=0)
    off = (rows - mean).astype(np.float64)
    covariance = off.T @ off / len(rows)
    spread = np.sqrt(np.diag(covariance)) + 1e-6
    correlation = covariance / spread / spread[:, None]
    correlation = (1 - shrink) * correlation + shrink * np.eye(len(spread))
    lower = np.linalg.cholesky(np.linalg.inv(correlation))
    return Whitened(mean.astype(np.float32), (lower / spread[:, None]).astype(np.float32))


def _thinned(space: Floats, count: int, rng: np.random.Generator) -> Floats:
    """`count` prototypes of `space` (n, c), by k-means from rows drawn by chance."""
    if count == 1:
        return space.mean(axis=0, keepdims=True)
    count = min(count, len(space))
    prototypes = space[rng.choice(len(space), count, replace=False)]
    for _ in range(ROUNDS):
        sample = space[rng.choice(len(space), min(len(space), 40 * count), replace=False)]
        nearest = _nearest_of(sample, prototypes)
        sums = np.zeros_like(prototypes)
        np.add.at(sums, nearest, sample)
        counts = np.bincount(nearest, minlength=count)[:, None]
        prototypes = np.where(counts > 0, sums / np.maximum(counts, 1), prototypes)
    return np.asarray(prototypes, np.float32)


def _nearest_of(rows: Floats, prototypes: Floats) -> NDArray[np.int64]:
    size = (prototypes**2).sum(axis=1)
    return np.concatenate(
        [(size - 2 * block @ prototypes.T).argmin(axis=1) for block in _blocks(rows)]
    )


def _nearest(rows: Floats, prototypes: Floats) -> Floats:
    """Squared distance of each row to its nearest prototype."""
    size = (prototypes**2).sum(axis=1)
    least = np.concatenate(
        [
            (size - 2 * block @ prototypes.T).min(axis=1) + (block**2).sum(axis=1)
            for block in _blocks(rows)
        ]
    )
    return np.asarray(np.maximum(least, 0), np.float32)


def _blocks(rows: Floats) -> Sequence[Floats]:
    return [rows[start : start + 8192] for start in range(0, len(rows), 8192)]


def hardly_above(scores: Sequence[float], rate: float) -> float:
    """A score above which a sound part comes at `rate`, by the scores of sound parts that were not
    learned from.

    Where there are enough of them, so many are above (which is right on average whatever the
    distribution, Vovk et al. 2005). Of fewer, none is, and besides the logarithms are taken for
    normal, with Student's allowance for a mean and a deviation that few scores say.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    n = len(ordered)
    place = math.ceil((n + 1) * (1 - rate))
    if place <= n:
        below = float(ordered[place - 1])
        above = float(ordered[min(place, n - 1)])
        return (below + above) / 2
    logs = np.log(np.maximum(ordered, 1e-9))
    z, free = NormalDist().inv_cdf(1 - rate), n - 1
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    bound = float(logs.mean() + student * logs.std(ddof=1) * math.sqrt(1 + 1 / n))
    return max(math.exp(bound), float(ordered[-1]))
