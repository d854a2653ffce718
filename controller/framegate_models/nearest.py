"""What sound parts showed at each place, by which the nearest counts.

Parts under several lights, or of several kinds, are several crowds, which have no middle: so each
sound picture is kept, as in PatchCore's memory (Roth et al. 2022), but place by place, as in SPADE
(Cohen and Hoshen 2020): what is usual in a corner is not in the middle.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate_models.surface import STEADY, Floats, Seen

DIRECTIONS: Final = 128
"""Of those in which descriptions vary; on magnetic tiles, 64 lose 0.2 % of the area under ROC, and
256 win nothing.
"""
SHRINK: Final = 0.05
"""By how much the directions that vary least are held back, of the mean of all."""
MAX_ROWS: Final = 30_000
"""Places that directions are learned from, drawn by chance: more hardly turn them."""
MAX_KEPT: Final = 512
"""Pictures: what a frame's places can be held against in a few milliseconds, 38 MB at 384 x 384."""
LEAST_NEAR: Final = 0.5
"""Distances are not taken for less, since 128 numbers in single precision say no less: places
beside the picture are all alike.
"""


def joined(described: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    """Two scales' descriptions (n, c, h, w) as one at the coarser grid."""
    fine, coarse = described
    n, c, h, w = fine.shape
    down, across = h // coarse.shape[2], w // coarse.shape[3]
    blocks = fine.reshape(n, c, h // down, down, w // across, across)
    return np.concatenate([blocks.mean(axis=(3, 5), dtype=np.float32), coarse], axis=1)


def seen_places(
    described: tuple[NDArray[Any], ...], parts: NDArray[np.int64], rng: np.random.Generator
) -> Seen:
    """What `described` pictures of the `parts` (n,) show. How far it is usual to be from the
    nearest is measured to other parts alone: a variant of a picture is near to it.
    """
    n, _, h, w = described[1].shape
    rows = _some(described, rng)
    mean = rows.mean(axis=0)
    directions = _directions(rows - mean)
    space = np.empty((n, h * w, directions.shape[1]), np.float32)
    for number in range(n):
        one = joined((described[0][number : number + 1], described[1][number : number + 1]))[0]
        space[number] = (one.reshape(len(mean), -1).T - mean) @ directions
    kept = most_unlike(space.mean(axis=1, dtype=np.float32), MAX_KEPT)
    pictures = np.ascontiguousarray(space[kept].transpose(1, 0, 2))
    far = np.empty((n, h * w), np.float32)
    same = parts[:, None] == parts[kept][None]
    for place, seen in enumerate(pictures):
        mine = space[:, place]
        squared = (mine**2).sum(axis=1)[:, None] - 2 * mine @ seen.T + (seen**2).sum(axis=1)
        squared[same] = np.inf
        far[:, place] = 0.5 * np.log(np.maximum(squared.min(axis=1), LEAST_NEAR**2))
    usual: Floats = far.mean(axis=0, dtype=np.float32)
    spread: Floats = far.std(axis=0, dtype=np.float32)
    spread += np.float32(STEADY * spread.mean() + 1e-6)
    return Seen(mean, directions, pictures, usual.reshape(h, w), spread.reshape(h, w))


def _some(described: tuple[NDArray[Any], ...], rng: np.random.Generator) -> Floats:
    """Descriptions (rows, c) of places drawn by chance, alike many of each picture."""
    n, _, h, w = described[1].shape
    each = min(h * w, max(8, MAX_ROWS // n))
    rows = []
    for number in range(n):
        one = joined((described[0][number : number + 1], described[1][number : number + 1]))[0]
        picked = rng.choice(h * w, each, replace=False)
        rows.append(one.reshape(one.shape[0], -1)[:, picked].T)
    return np.concatenate(rows).astype(np.float32)


def _directions(off: Floats) -> Floats:
    """Those (c, d) in which `off` (n, c), less its mean, varies most, each by as much."""
    covariance = (off.T @ off).astype(np.float64) / len(off)
    spread = np.sqrt(np.diag(covariance)) + 1e-6
    values, vectors = np.linalg.eigh(covariance / spread / spread[:, None])
    most = np.argsort(-values)[: min(DIRECTIONS, len(values))]
    scale = np.sqrt((1 - SHRINK) * np.maximum(values[most], 0) + SHRINK)
    return np.asarray(vectors[:, most] / spread[:, None] / scale, np.float32)


def most_unlike(rows: Floats, count: int) -> NDArray[np.int64]:
    """Indices, in order, of `count` of the `rows` (n, d), or all: each next one is the farthest
    from those that are kept (Gonzalez 1985), so that what is rare is not lost.
    """
    n = len(rows)
    if n <= count:
        return np.arange(n)
    at = int(np.argmax(((rows - rows.mean(axis=0)) ** 2).sum(axis=1)))
    kept, far = [at], np.full(n, np.inf)
    while len(kept) < count:
        far = np.minimum(far, ((rows - rows[kept[-1]]) ** 2).sum(axis=1))
        kept.append(int(np.argmax(far)))
    return np.sort(np.array(kept, np.int64))
