"""Strokes that follow what is there: a scribble along an edge, a stretch of a thin track or slot
that is gone, an arc that cuts a corner off; and layouts with necks, where such strokes come about.

Straight strokes through a conductor are drawn by `strokes`. Annotators' defects are often neither:
etching faults run along edges, and a blade slips round corners.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_simulators.boards.layout import Gray, Rng
from framegate_simulators.boards.strokes import Stroke, across, polyline

STEP_PX: Final = 2.0
"""Between two points of a traced edge: finer than the smallest corner radius drawn."""
NARROW_PX: Final = 15
"""A medium up to this width is a thin track or slot, of which a whole stretch may be gone."""
NECKS: Final = 0.45
"""Share of layouts with necks: stretches where tracks, or the slots between them, are thinner."""


def draw_traced(
    rng: Rng, kind: str, signed: NDArray[np.float32], edges: NDArray[np.int64]
) -> Stroke | None:
    """A stroke that may become a defect of `kind`, led by the edge it begins at; None where the
    place is not fit for it. `signed` (h, w) is the distance to the nearest edge in pixels, positive
    in copper; `edges` (n, 2) rows and columns of edge pixels.
    """
    if not len(edges):
        return None
    dark = kind in {"short", "spur", "copper"}
    y, x = (float(v) for v in edges[int(rng.integers(0, len(edges)))])
    # into the medium that the stroke changes, the field grows
    inward = np.asarray(-signed if dark else signed, np.float32)
    at = np.array([x, y])
    if kind in {"spur", "mousebite"}:
        return _scribble(rng, inward, at, dark)
    if kind in {"copper", "pin-hole"}:
        return _scribble(rng, inward, at, dark, clear=float(rng.uniform(7, 18)))
    return _stretch(rng, inward, at, dark) or _arc(rng, inward, at, dark)


def necked(rng: Rng, copper: Gray) -> Gray:
    """`copper` (h, w) with up to four rectangles in which everything dark or light is a pixel or
    some thinner, as tracks are between pads.
    """
    out = copper.copy()
    h, w = copper.shape
    for _ in range(int(rng.integers(1, 5))):
        x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
        right, low = x + int(rng.integers(30, 200)), y + int(rng.integers(30, 200))
        round_kernel = cv2.getStructuringElement(
            cv2.MORPH_ELLIPSE, (int(rng.choice([3, 3, 5, 5, 7])),) * 2
        )
        operation = cv2.MORPH_ERODE if rng.random() < 0.5 else cv2.MORPH_DILATE
        part = out[y:low, x:right]
        part[:] = cv2.morphologyEx(part, operation, round_kernel)
    return out


def trace(
    field: NDArray[np.float32], at: NDArray[np.float64], depth: float, length: float
) -> NDArray[np.float64]:
    """Points (n, 2), x and y, `STEP_PX` apart, along the line at `depth` of the distance `field`,
    from near `at` for `length` pixels or to the frame's border.
    """
    h, w = field.shape
    points: list[NDArray[np.float64]] = []
    before: NDArray[np.float64] | None = None
    for _ in range(int(length / STEP_PX) + 1):
        x, y = round(float(at[0])), round(float(at[1]))
        if not (4 <= x < w - 4 and 4 <= y < h - 4):
            break
        slope = np.array(
            [field[y, x + 2] - field[y, x - 2], field[y + 2, x] - field[y - 2, x]], np.float64
        )
        steep = float(np.hypot(*slope))
        if steep < 0.5:  # a ridge or a plain: nothing leads on
            break
        slope /= steep
        at = at + slope * np.clip(depth - float(field[y, x]), -2.0, 2.0)
        points.append(at)
        along = np.array([-slope[1], slope[0]])
        if before is not None and float(along @ before) < 0:
            along = -along
        before, at = along, at + along * STEP_PX
    return np.array(points, np.float64).reshape(-1, 2)


def _scribble(
    rng: Rng, inward: NDArray[np.float32], at: NDArray[np.float64], dark: bool, clear: float = 0.0
) -> Stroke | None:
    """A shaky line along an edge, `clear` pixels from it."""
    length = float(np.clip(rng.lognormal(np.log(34.0), 0.55), 12, 150))
    thick = float(rng.uniform(1.5, 5.0))
    points = trace(inward, at, clear + rng.uniform(0.2, 1.0) * thick, length)
    if len(points) < 4:
        return None
    points = points[:: int(rng.integers(1, 4))]
    shake = float(rng.choice([0.4, 1.5, 3.5], p=[0.3, 0.4, 0.3]))
    return polyline(points + rng.normal(0, shake, points.shape), thick, dark)


def _stretch(
    rng: Rng, inward: NDArray[np.float32], at: NDArray[np.float64], dark: bool
) -> Stroke | None:
    """A stretch of a thin track gone, or of a thin slot filled."""
    x, y = int(at[0]), int(at[1])
    h, w = inward.shape
    if not (4 <= x < w - 4 and 4 <= y < h - 4):
        return None
    way = float(
        np.arctan2(inward[y + 2, x] - inward[y - 2, x], inward[y, x + 2] - inward[y, x - 2])
    )
    through = across(-inward if dark else inward, at, way, dark, longest=NARROW_PX)
    if through is None:
        return None
    wide = through.length
    points = trace(inward, at, 0.0, float(np.clip(rng.lognormal(np.log(22.0), 0.5), 8, 70)))
    if len(points) < 4:
        return None
    middle = points + 0.5 * wide * np.array([np.cos(way), np.sin(way)])
    return polyline(middle[:: int(rng.integers(2, 5))], wide + float(rng.uniform(1.0, 7.0)), dark)


def _arc(
    rng: Rng, inward: NDArray[np.float32], at: NDArray[np.float64], dark: bool
) -> Stroke | None:
    """An arc from an edge to the same edge further on, which cuts a piece off."""
    points = trace(inward, at, 0.0, float(rng.uniform(16, 75)))
    if len(points) < 6:
        return None
    a, b = points[0], points[-1]
    chord = float(np.linalg.norm(b - a))
    if chord < 9:
        return None
    x, y = (int(v) for v in points[len(points) // 2])
    into = np.array(
        [inward[y, x + 2] - inward[y, x - 2], inward[y + 2, x] - inward[y - 2, x]], np.float64
    )
    into /= max(float(np.hypot(*into)), 1e-6)
    top = 0.5 * (a + b) + into * chord * float(rng.uniform(0.3, 1.3))
    t = np.linspace(0, 1, 9)[:, None]
    arc = (1 - t) ** 2 * a + 2 * t * (1 - t) * top + t**2 * b
    ends = np.stack([a - into * rng.uniform(1, 4), *arc, b - into * rng.uniform(1, 4)])
    shaken = ends + rng.normal(0, float(rng.choice([0.3, 1.0])), ends.shape)
    return polyline(shaken, float(np.clip(rng.lognormal(np.log(3.5), 0.35), 2, 8)), dark)
