"""Damage drawn on pictures of sound parts: scratches, spots, pieces that belong elsewhere, blurred
places, missing material.

Nobody who learns a surface from sound parts has bad ones at hand. Drawn damage is no sample of
what will come; it is what a model that sees anything must see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (h, w) or (h, w, 3)
Kind = Callable[[Picture, np.random.Generator, float], "Damaged"]

LEAST_CHANGE: Final = 4.0
"""Grey levels by which damage must change its own pixels on average: less, nobody sees."""
_SHARES: Final = (0.03, 0.12)
"""Of the picture's shorter side: how far a spot or a piece reaches, least and most."""


class Damaged(NamedTuple):
    """The picture, and where it was damaged (h, w) bool."""

    picture: Picture
    where: NDArray[np.bool_]


def damaged(
    picture: Picture,
    rng: np.random.Generator,
    strength: float = 1.0,
    kinds: Sequence[Kind] | None = None,
) -> Damaged:
    """A copy with one damage drawn by chance, one of `kinds`, `PLAIN` if None; `strength` 1 is one
    that is seen without effort, more is of more contrast and larger.
    """
    chosen = kinds or PLAIN
    for _ in range(20):
        one = chosen[int(rng.integers(len(chosen)))](picture, rng, strength)
        change = np.abs(one.picture.astype(np.int16) - picture.astype(np.int16))
        change = change if change.ndim == 2 else change.max(axis=2)
        if one.where.any() and float(change[one.where].mean()) >= LEAST_CHANGE * strength:
            return one
    return scratched(picture, rng, max(1.0, strength))


def scratched(picture: Picture, rng: np.random.Generator, strength: float) -> Damaged:
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


def spotted(picture: Picture, rng: np.random.Generator, strength: float) -> Damaged:
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


def pasted(picture: Picture, rng: np.random.Generator, strength: float) -> Damaged:
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


def blurred(picture: Picture, rng: np.random.Generator, strength: float) -> Damaged:
    """A place out of focus, as by a drop of oil or a dent."""
    canvas = _blot(picture, rng, strength)
    wide = max(1.0, min(picture.shape[:2]) / 160 * strength)
    soft = cv2.GaussianBlur(picture, (0, 0), wide).astype(np.float32)
    return _blended(picture, canvas, soft)


def missing(picture: Picture, rng: np.random.Generator, strength: float) -> Damaged:
    """A place where material is gone: as dark or as bright as the picture gets, within a jagged
    rim.
    """
    level = float(np.quantile(picture, float(rng.choice((0.02, 0.98)))))
    share = min(1.0, 0.5 * strength)
    gone = picture.astype(np.float32) * (1 - share) + level * share
    return _blended(picture, _blot(picture, rng, strength), gone)


PLAIN: Final[tuple[Kind, ...]] = (scratched, spotted, pasted)
"""What a model that sees anything must find."""
ALL: Final[tuple[Kind, ...]] = (*PLAIN, blurred, missing)
"""What methods are compared by."""


def _blot(picture: Picture, rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """A place (h, w) with a jagged rim, 255 inside."""
    height, width = picture.shape[:2]
    reach = min(height, width) * float(rng.uniform(*_SHARES)) * strength**0.5 / 2
    corners = int(rng.integers(5, 10))
    ways = np.sort(rng.uniform(0, 2 * np.pi, corners))
    far = reach * rng.uniform(0.5, 1.3, corners)
    middle = np.array([rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height])
    rim = middle + far[:, None] * np.stack([np.cos(ways), np.sin(ways)], axis=1)
    canvas = np.zeros((height, width), np.uint8)
    cv2.fillPoly(canvas, [(rim * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
    return canvas


def _blended(picture: Picture, canvas: NDArray[np.uint8], other: NDArray[np.float32]) -> Damaged:
    share = canvas.astype(np.float32) / 255
    shaped = share if picture.ndim == 2 else share[:, :, None]
    drawn = picture.astype(np.float32) * (1 - shaped) + other * shaped
    return Damaged(np.clip(drawn, 0, 255).round().astype(np.uint8), canvas > 96)


def _change(rng: np.random.Generator, strength: float) -> float:
    """Grey levels, down or up."""
    return float(rng.choice((-1, 1)) * rng.uniform(25, 90) * strength)


def _laid(picture: Picture, canvas: NDArray[np.uint8], change: float) -> Damaged:
    share = canvas.astype(np.float32) / 255
    shaped = share if picture.ndim == 2 else share[:, :, None]
    drawn = np.clip(picture.astype(np.float32) + change * shaped, 0, 255)
    return Damaged(drawn.round().astype(np.uint8), canvas > 96)
