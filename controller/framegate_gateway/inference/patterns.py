"""What of one photograph is like no other: its sensor's noise, and how it differs from the golden
image along the edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.scene import Scene

MIDDLE_PX: Final = 256
"""Side of the middle of the picture, in which patterns are compared."""
EVERY_PX: Final = 3
"""Of it every third pixel of every third row counts: 7,000 pixels tell a copy's correlation from
chance by ten deviations and more.
"""
MOST_GRAIN: Final = 12.0
"""Grey levels of a sensor's noise that count at most; more is a speck."""
MOST_EDGE: Final = 48.0
"""Grey levels that a pixel of an edge counts at most: a defect is no print of the whole board."""
NO_GRAIN: Final = 0.05
"""Grey levels of deviation below which there is no pattern to compare."""
Pattern = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Patterns:
    """One frame's: `noise` and `edges`, (n,) float32 each with mean 0 and length 1, or all 0."""

    noise: Pattern
    edges: Pattern


def patterns(scene: Scene) -> Patterns:
    """Of a scene: fine grain where the golden image is flat; how the frame differs from it along
    its edges.
    """
    rows, columns = _middle(scene)
    step = slice(None, None, EVERY_PX)
    frame = scene.frame[rows, columns][step, step]
    smooth, golden = (image[rows, columns][step, step] for image in (scene.smooth, scene.golden))
    flat, edges = (zone[rows, columns][step, step] > 0 for zone in (scene.flat, scene.edges))
    return Patterns(
        _pattern(cv2.subtract(frame, smooth, dtype=cv2.CV_32F), flat, MOST_GRAIN),
        _pattern(cv2.subtract(frame, golden, dtype=cv2.CV_32F), edges, MOST_EDGE),
    )


def _pattern(values: NDArray[Any], zone: NDArray[np.bool_], most: float) -> Pattern:
    count = int(zone.sum())
    if not count:
        return np.zeros(values.size, np.float32)
    inside = np.where(zone, np.clip(values, -most, most), 0)
    inside = np.where(zone, inside - inside.sum() / count, 0).astype(np.float32)
    length = float(np.sqrt((inside * inside).sum()))
    if length <= NO_GRAIN * np.sqrt(count):
        return np.zeros(values.size, np.float32)
    return np.asarray(inside / length, np.float32).ravel()


def golden_noise(scene: Scene, own: Patterns) -> float:
    """Correlation of a frame's fine grain with the golden image's own, in [-1, 1]."""
    rows, columns = _middle(scene)
    step = slice(None, None, EVERY_PX)
    golden = scene.golden[rows, columns]
    smooth = cv2.medianBlur(np.ascontiguousarray(golden), 3)
    fine = cv2.subtract(golden[step, step], smooth[step, step], dtype=cv2.CV_32F)
    flat = scene.flat[rows, columns][step, step] > 0
    return float(own.noise @ _pattern(fine, flat, MOST_GRAIN))


def _middle(scene: Scene) -> tuple[slice, slice]:
    h, w = scene.frame.shape
    y, x = max(0, (h - MIDDLE_PX) // 2), max(0, (w - MIDDLE_PX) // 2)
    return slice(y, y + MIDDLE_PX), slice(x, x + MIDDLE_PX)
