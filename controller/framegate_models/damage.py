"""Damage drawn on pictures of sound parts: scratches, spots, pieces that belong elsewhere.

Nobody who learns a surface from sound parts has bad ones at hand. Drawn damage is no sample of
what will come; it is what a model that sees anything must see.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (h, w) or (h, w, 3)

LEAST_CHANGE: Final = 4.0
"""Grey levels by which damage must change its own pixels on average: less, nobody sees."""
_SHARES: Final = (0.03, 0.12)
"""Of the picture's shorter side: how far a spot or a piece reaches, least and most."""


class Damaged(NamedTuple):
    """The picture, and where it was damaged (h, w) bool."""

    picture: Picture
    where: NDArray[np.bool_]


def damaged(picture: Picture, rng: np.random.Generator, strength: float = 1.0) -> Damaged:
    """A copy with one damage drawn by chance; `strength` 1 is one that is seen without effort, more
    is of more contrast and larger.
    """
    kinds = (_scratched, _spotted, _pasted)
    for _ in range(20):
        one = kinds[int(rng.integers(len(kinds)))](picture, rng, strength)
        change = np.abs(one.picture.astype(np.int16) - picture.astype(np.int16))
        change = change if change.ndim == 2 else change.max(axis=2)
        if one.where.any() and float(change[one.where].mean()) >= LEAST_CHANGE * strength:
            return one
    return _scratched(picture, rng, max(1.0, strength))


def _scratched(picture: Picture, rng: np.random.Generator, strength: float) -> Damaged:
    """A thin line with bends, darker or lighter than what it crosses, that fades at its ends."""
    height, width = picture.shape[:2]
    side = min(height, width)
    length, way = side * float(rng.uniform(0.15, 0.5)), float(rng.uniform(0, 2 * np.pi))
    at = np.array([rng.uniform(0.15, 0.85) * width, rng.uniform(0.15, 0.85) * height])
    points, steps = [at], int(rng.integers(3, 9))
    for _ in range(steps):
        way += float(rng.normal(0, 0.35))
        at = at + length / steps * np.array([np.cos(way), np.sin(way)])
        points.append(at)
    canvas = np.zeros((height, width), np.uint8)
    thick = max(1, round(side / 320 * strength * float(rng.uniform(1, 3))))
    line = (np.array(points) * 16).round().astype(np.int32)
    cv2.polylines(canvas, [line], False, 255, thick, cv2.LINE_AA, 4)
    return _laid(picture, canvas, _change(rng, strength))


def _spotted(picture: Picture, rng: np.random.Generator, strength: float) -> Damaged:
    """A spot with a soft rim, darker or lighter."""
    height, width = picture.shape[:2]
    side = min(height, width)
    reach = side * rng.uniform(*_SHARES, 2) / 2 * strength**0.5
    middle = int(rng.uniform(0.1, 0.9) * width), int(rng.uniform(0.1, 0.9) * height)
    canvas = np.zeros((height, width), np.uint8)
    axes = max(1, int(reach[0])), max(1, int(reach[1]))
    cv2.ellipse(canvas, middle, axes, float(rng.uniform(0, 180)), 0, 360, 255, cv2.FILLED)
    soft = np.asarray(cv2.GaussianBlur(canvas, (0, 0), max(0.6, float(reach.min()) / 4)), np.uint8)
    return _laid(picture, soft, _change(rng, strength))


def _pasted(picture: Picture, rng: np.random.Generator, strength: float) -> Damaged:
    """A piece of the same picture, turned and taken from elsewhere."""
    height, width = picture.shape[:2]
    side = min(height, width)
    shares = np.minimum(0.4, rng.uniform(0.06, 0.2, 2) * strength**0.5)
    w, h = (max(4, round(side * float(v))) for v in shares)
    xs, ys = rng.integers(0, width - w, 2), rng.integers(0, height - h, 2)
    piece = picture[ys[0] : ys[0] + h, xs[0] : xs[0] + w][::-1, ::-1].astype(np.float32)
    piece = piece * (1 + strength * float(rng.uniform(-0.15, 0.15)))
    canvas = np.zeros((height, width), np.uint8)
    canvas[ys[1] : ys[1] + h, xs[1] : xs[1] + w] = 255
    copy = picture.copy()
    copy[ys[1] : ys[1] + h, xs[1] : xs[1] + w] = np.clip(piece, 0, 255)
    return Damaged(copy, canvas > 0)


def _change(rng: np.random.Generator, strength: float) -> float:
    """Grey levels, down or up."""
    return float(rng.choice((-1, 1)) * rng.uniform(25, 90) * strength)


def _laid(picture: Picture, canvas: NDArray[np.uint8], change: float) -> Damaged:
    share = canvas.astype(np.float32) / 255
    shaped = share if picture.ndim == 2 else share[:, :, None]
    drawn = np.clip(picture.astype(np.float32) + change * shaped, 0, 255)
    return Damaged(drawn.round().astype(np.uint8), canvas > 96)
