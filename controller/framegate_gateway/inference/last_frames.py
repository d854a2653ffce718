"""The last frames of each camera, as patterns: a scene that is shown again has the noise, or the
etched edges, of one that was there (N182).

Perceptual hashes say nothing here: sound frames of one design lie as near to each other as copies.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.looks.kinds import Look
from framegate_gateway.inference.scene import Scene
from framegate_gateway.inference.second_looks import MOST_GRAIN, NO_GRAIN, middle

WINDOW: Final = 64
"""Frames of a camera and part type that a frame is held against: half a minute of a quick line."""
MAX_CAMERAS: Final = 32
"""Windows that are kept, of 4 MB each: the longest unseen goes first."""
EVERY_PX: Final = 3
"""Of the middle of the picture every third pixel of every third row counts: 7,000 pixels tell a
copy's correlation from chance by ten deviations and more.
"""
MOST_EDGE: Final = 48.0
"""Grey levels that a pixel of an edge counts at most: a defect is no print of the whole board."""
Pattern = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Patterns:
    """One frame's: `noise` and `edges`, (n,) float32 each with mean 0 and length 1, or all 0."""

    noise: Pattern
    edges: Pattern


class Window:
    """The last `WINDOW` patterns of one sort, as rows (WINDOW, n)."""

    __slots__ = ("_next", "_rows")

    def __init__(self, size: int) -> None:
        self._rows = np.zeros((WINDOW, size), np.float32)
        self._next = 0

    def most_alike(self, pattern: Pattern) -> float:
        """Correlation with the most alike of them; it takes the oldest one's place."""
        most = float((self._rows @ pattern).max())
        self._rows[self._next % WINDOW] = pattern
        self._next += 1
        return most


@dataclass(slots=True)
class _Windows:
    size: int
    noise: Window
    edges: Window


@dataclass(slots=True)
class LastFrames:
    """Windows by camera and part type."""

    windows: OrderedDict[tuple[str, str], _Windows] = field(default_factory=OrderedDict)

    def compare(self, camera: str, part_type: str, scene: Scene) -> dict[Look, float]:
        """How like the most alike of the last frames this one is, by noise and by edges, 0 where
        it is the first; it is one of them from now on.
        """
        key, own = (camera, part_type), patterns(scene)
        window = self.windows.get(key)
        if window is None or window.size != own.noise.size:
            size = own.noise.size
            window = self.windows[key] = _Windows(size, Window(size), Window(size))
        self.windows.move_to_end(key)
        if len(self.windows) > MAX_CAMERAS:
            self.windows.popitem(last=False)
        return {
            Look.REPLAYED_NOISE: window.noise.most_alike(own.noise),
            Look.REPLAYED_EDGES: window.edges.most_alike(own.edges),
        }


def patterns(scene: Scene) -> Patterns:
    """Of a scene: fine grain where the golden image is flat; how the frame differs from it along
    its edges.
    """
    rows, columns = middle(scene)
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
