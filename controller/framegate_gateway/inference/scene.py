"""A frame beside its golden image, moved to lie under it, as second looks see the two: what is
worked out once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.registration import Gray, Registered

EDGE_STEP: Final = 24
"""Grey levels within five pixels of the golden image from which on there is an edge."""
BORDER_PX: Final = 4
"""Pixels along the frame's edge that are not looked at, and those that the golden image did not
cover once it was moved.
"""
BLOCK_PX: Final = 32
_NEAR: Final = np.ones((3, 3), np.uint8)
_AROUND: Final = np.ones((5, 5), np.uint8)
Mask = NDArray[np.uint8]


NOTHING: Final = 0.05
"""Grey levels of deviation below which an image has neither contrast nor edges."""


@dataclass(frozen=True, slots=True)
class Light:
    """Against the golden image's: `contrast` as a share, how far the mean level is `off` as a share
    of the full scale, `sharpness` of edges as a share.
    """

    contrast: float
    off: float
    sharpness: float


@dataclass(frozen=True)
class Scene:
    """`frame` and the moved golden image `golden`, both (h, w) uint8; `shift` (x, y) in pixels is
    how far it was moved, or `matrix` (3, 3) how, where it was more than moved; `ignored` are
    polygons, in fractions of width and height, that the part leaves out, masks among them;
    `allowed` (h, w) is the golden image as near to the frame as it tolerates, None where it
    tolerates nothing.
    """

    frame: Gray
    golden: Gray
    shift: tuple[float, float] = (0.0, 0.0)
    matrix: NDArray[np.float64] | None = None
    ignored: Sequence[Any] = ()
    allowed: Gray | None = None

    @cached_property
    def seen(self) -> Mask:
        """(h, w) 255 where the two can be compared, else 0."""
        h, w = self.frame.shape
        seen = _covered((h, w), self.matrix) if self.matrix is not None else _whole((h, w))
        shift = self.shift if self.matrix is None else (0.0, 0.0)
        x, y = (BORDER_PX + int(np.ceil(abs(offset))) for offset in shift)
        seen[:y] = seen[h - y :] = seen[:, :x] = seen[:, w - x :] = 0
        for polygon in self.ignored:
            corners = (np.array(polygon) * (w, h)).round().astype(np.int32)
            cv2.fillPoly(seen, [corners], 0)
        return seen

    @cached_property
    def edges(self) -> Mask:
        """(h, w) 255 near edges of the golden image, where it is seen."""
        steps = cv2.morphologyEx(self.golden, cv2.MORPH_GRADIENT, _AROUND)
        edges = cv2.threshold(steps, EDGE_STEP, 255, cv2.THRESH_BINARY)[1]
        return np.asarray(cv2.bitwise_and(edges, self.seen), np.uint8)

    @cached_property
    def flat(self) -> Mask:
        """(h, w) 255 where the golden image has no edge, and is seen."""
        return np.asarray(cv2.subtract(self.seen, self.edges), np.uint8)

    @cached_property
    def smooth(self) -> Gray:
        """The frame without its fine grain: the median of three by three pixels."""
        return np.asarray(cv2.medianBlur(self.frame, 3), np.uint8)

    @cached_property
    def half(self) -> Gray:
        """(h/2, w/2) the frame at half resolution."""
        return halved(self.frame)

    @cached_property
    def half_golden(self) -> Gray:
        """(h/2, w/2) the golden image at half resolution."""
        return halved(self.golden)

    @cached_property
    def light(self) -> Light:
        """Light, contrast and focus, at half resolution."""
        (level, spread), (golden_level, golden_spread) = (
            (float(number[0, 0]) for number in cv2.meanStdDev(image))
            for image in (self.half, self.half_golden)
        )
        edges, golden_edges = (_edginess(image) for image in (self.half, self.half_golden))
        contrast = spread / max(golden_spread, NOTHING)
        sharpness = (edges / max(golden_edges, NOTHING) / max(contrast, 1e-6)) ** 2
        return Light(contrast, abs(level - golden_level) / 255, sharpness)

    @cached_property
    def unlike(self) -> Gray:
        """(h/2, w/2) how far the frame is from what the golden image allows, and every shift of it
        by a pixel of the half resolution: the mean of five by five pixels there, in grey levels.
        """
        half, golden = self.half, self.half_golden
        if self.allowed is not None:
            golden = halved(self.allowed)
        above = cv2.subtract(half, cv2.dilate(golden, _NEAR))
        below = cv2.subtract(cv2.erode(golden, _NEAR), half)
        mean = cv2.blur(cv2.max(above, below), (5, 5))
        return np.asarray(cv2.bitwise_and(mean, halved(self.seen)), np.uint8)


def scene_of(frame: Gray, moved: Registered, allowed: Gray | None = None) -> Scene:
    """`frame` beside its golden image, as registration moved it, and what of it is `allowed`."""
    return Scene(frame, moved.golden, moved.shift, moved.matrix, allowed=allowed)


def _whole(size: tuple[int, int]) -> Mask:
    return np.full(size, 255, np.uint8)


def _covered(size: tuple[int, int], matrix: NDArray[np.float64]) -> Mask:
    """(h, w) 255 where a golden image that was moved by `matrix` is, but for its border."""
    there = cv2.warpPerspective(_whole(size), matrix, size[::-1], flags=cv2.INTER_NEAREST)
    border = np.ones((2 * BORDER_PX + 1, 2 * BORDER_PX + 1), np.uint8)
    return np.asarray(cv2.erode(there, border), np.uint8)


def _edginess(image: Gray) -> float:
    """Deviation of an image's second derivatives, by their sum and their squares': as exact as
    OpenCV's own mean and deviation, which has no quick way for 16 bits, in a third of its time.
    """
    second = cv2.Laplacian(image, cv2.CV_16S)
    mean = cv2.sumElems(second)[0] / second.size
    square = cv2.norm(second, cv2.NORM_L2SQR) / second.size
    return float(np.sqrt(max(0.0, square - mean * mean)))


def halved(image: Gray) -> Gray:
    """(h/2, w/2), the mean of two by two pixels."""
    h, w = image.shape
    size = (max(1, w // 2), max(1, h // 2))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
