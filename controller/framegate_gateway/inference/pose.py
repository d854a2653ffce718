"""How a part lies in a frame that does not lie like its golden image: turned, nearer or further,
moved, seen a little from the side.

Roughly by spectra (`pose_spectrum`); the rest is least squares on the golden image's strongest
edges, inverse compositional (Baker and Matthews 2004), since those are worked out once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.pose_spectrum import (
    Floats,
    Gray,
    Matrix,
    RoughReference,
    rough_poses,
    rough_reference,
)

SAMPLES: Final = 2_000
"""Edge pixels that the steps look at, spread over the picture."""
STEPS: Final = ((4, 5), (2, 4))
"""Of least squares: at which part of the resolution, how many."""
_TILE_PX: Final = 16


class _Level(NamedTuple):
    """The golden image at one resolution: where its edges are (n, 2), their grey values (n,), and
    by how much each changes with each of the eight unknowns (n, 8).
    """

    shrunk: int
    points: Floats
    values: Floats
    steepest: Floats


@dataclass(frozen=True, slots=True)
class PoseReference:
    """What of a golden image is worked out once to look for poses."""

    size: tuple[int, int]
    quarter: Gray
    rough: RoughReference
    levels: tuple[_Level, ...]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the golden image's pixels lie in the frame (`matrix`), and how like it the frame is
    there, in [-1, 1], over the share `covered` of the golden image that is in the frame.
    """

    matrix: Matrix
    likeness: float
    covered: float
    size: tuple[int, int]

    @property
    def turn_deg(self) -> float:
        """Clockwise, in (-180, 180]."""
        a, c = self._linear()[0]
        return float(np.degrees(np.arctan2(c, a)))

    @property
    def scale(self) -> float:
        """Larger than 1 where the part is nearer than in its golden image."""
        return float(np.sqrt(abs(np.linalg.det(self._linear()))))

    @property
    def shift(self) -> tuple[float, float]:
        """Pixels, right and down, by which the golden image's middle is moved."""
        middle = np.array([(self.size[1] - 1) / 2, (self.size[0] - 1) / 2, 1.0])
        x, y, w = self.matrix @ middle
        return float(x / w - middle[0]), float(y / w - middle[1])

    def _linear(self) -> Matrix:
        """The turn and scale (2, 2) at the middle; rows are images of x and y."""
        middle = np.array([(self.size[1] - 1) / 2, (self.size[0] - 1) / 2])
        ends = middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        moved = _moved_points(self.matrix, ends)
        return np.array([moved[1] - moved[0], moved[2] - moved[0]])


def pose_reference(image: Gray) -> PoseReference:
    """A golden image (h, w) ready to be looked for in frames of its size."""
    half, quarter = _halves(image)
    levels = tuple(
        _level(one, shrunk) for one, (shrunk, _) in zip((quarter, half), STEPS, strict=True)
    )
    size = image.shape[0], image.shape[1]
    return PoseReference(size, quarter, rough_reference(half, quarter, size), levels)


def find_pose(golden: PoseReference, frame: Gray) -> Pose:
    """The likeliest pose of the golden image in a frame of its size, whatever it shows: the caller
    looks at its likeness.
    """
    halves = _halves(frame)
    starts = rough_poses(golden.rough, halves.half, halves.quarter)
    best = _refined(golden, halves, starts[0].matrix)
    if best.likeness > _SURE and best.covered > _SURE_COVERED:
        return best
    other = _refined(golden, halves, starts[1].matrix)
    return other if other.likeness > best.likeness else best


_SURE: Final = 0.8
_SURE_COVERED: Final = 0.7
"""Likeness, and share of the golden image in the frame, from which on no second start is tried."""


class _Halves(NamedTuple):
    """An image at half and at a quarter of its resolution."""

    half: Gray
    quarter: Gray


def _halves(image: Gray) -> _Halves:
    half = _shrunk(image)
    return _Halves(half, _shrunk(half))


def _shrunk(image: Gray) -> Gray:
    h, w = image.shape
    size = max(1, w // 2), max(1, h // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _smoothed(image: Gray) -> Floats:
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0), np.float32)


def _level(image: Gray, shrunk: int) -> _Level:
    small = _smoothed(image)
    gx = cv2.Sobel(small, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    gy = cv2.Sobel(small, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    ys, xs = _strongest(gx * gx + gy * gy)
    ix, iy = gx[ys, xs].astype(np.float64), gy[ys, xs].astype(np.float64)
    h, w = small.shape
    # about the middle and by the size, so that the eight unknowns are of one kind
    x, y = (xs - (w - 1) / 2) / w, (ys - (h - 1) / 2) / w
    slant = ix * x + iy * y
    steepest = np.stack([ix * x, ix * y, ix, iy * x, iy * y, iy, -slant * x, -slant * y], 1) * w
    values = small[ys, xs].astype(np.float32)
    points = np.stack([xs, ys], 1).astype(np.float32)
    return _Level(shrunk, points, values, steepest.astype(np.float32))


def _strongest(strength: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the strongest edges are, as many in each tile of the picture."""
    h, w = strength.shape
    tiles = max(1, (h // _TILE_PX) * (w // _TILE_PX))
    each = max(4, SAMPLES // tiles)
    rows, columns = [], []
    for top in range(0, h, _TILE_PX):
        for left in range(0, w, _TILE_PX):
            tile = strength[top : top + _TILE_PX, left : left + _TILE_PX]
            flat = np.argsort(-tile.ravel(), kind="stable")[:each]
            y, x = np.unravel_index(flat, tile.shape)
            rows.append(y + top)
            columns.append(x + left)
    return np.concatenate(rows), np.concatenate(columns)


def _refined(golden: PoseReference, frame: _Halves, matrix: Matrix) -> Pose:
    images = frame.quarter, frame.half
    for level, image, (shrunk, steps) in zip(golden.levels, images, STEPS, strict=True):
        small = _smoothed(image)
        h, w = small.shape
        by = np.array([[shrunk, 0, (shrunk - 1) / 2], [0, shrunk, (shrunk - 1) / 2], [0, 0, 1.0]])
        at = np.linalg.inv(by) @ matrix @ by
        about = np.array([[w, 0, (w - 1) / 2], [0, w, (h - 1) / 2], [0, 0, 1.0]])
        for _ in range(steps):
            before, at = at, _stepped(level, small, at, about)
            if float(np.abs((at - before)[:2] * (w, h, 1)).max()) < _SETTLED_PX:
                break
        matrix = by @ at @ np.linalg.inv(by)
    matrix = matrix / matrix[2, 2]
    return _judged(golden, frame.quarter, matrix)


def _stepped(level: _Level, small: Floats, at: Matrix, about: Matrix) -> Matrix:
    moved = _moved_points(at, level.points).astype(np.float32)
    h, w = small.shape
    seen = cv2.remap(small, moved[:, :1], moved[:, 1:], cv2.INTER_LINEAR).ravel()
    inside = (
        (moved[:, 0] >= 0) & (moved[:, 0] <= w - 1) & (moved[:, 1] >= 0) & (moved[:, 1] <= h - 1)
    )
    if int(inside.sum()) < _LEAST_SEEN:
        return at
    a, b = seen[inside], level.values[inside]
    (mean_a, dev_a), (mean_b, dev_b) = cv2.meanStdDev(a), cv2.meanStdDev(b)
    gain = float(dev_b[0, 0]) / max(float(dev_a[0, 0]), 1e-3)
    off = (a - np.float32(mean_a[0, 0])) * np.float32(gain) + np.float32(mean_b[0, 0]) - b
    # one edge that is not there must not pull the rest along
    reach = 2.5 * float(np.median(np.abs(off))) + 1e-3
    weighed = level.steepest[inside] * np.minimum(1, reach / (np.abs(off) + 1e-6))[:, None]
    normal = (weighed.T @ level.steepest[inside]).astype(np.float64)
    normal += np.eye(8) * (1e-5 * np.trace(normal) / 8 + 1e-9)
    p = np.linalg.solve(normal, (weighed.T @ off).astype(np.float64))
    step = np.array([[1 + p[0], p[1], p[2]], [p[3], 1 + p[4], p[5]], [p[6], p[7], 1.0]])
    whole = about @ step @ np.linalg.inv(about)
    moved_on = at @ np.linalg.inv(whole)
    return np.asarray(moved_on / moved_on[2, 2])


_SETTLED_PX: Final = 0.03
"""Pixels of the shrunk image by which a step has to move something for there to be another."""
_LEAST_SEEN: Final = 64
"""Edges in the frame below which nothing is solved for."""


def _moved_points(matrix: Matrix, points: NDArray[Any]) -> NDArray[np.float64]:
    x = points[:, 0] * matrix[0, 0] + points[:, 1] * matrix[0, 1] + matrix[0, 2]
    y = points[:, 0] * matrix[1, 0] + points[:, 1] * matrix[1, 1] + matrix[1, 2]
    w = points[:, 0] * matrix[2, 0] + points[:, 1] * matrix[2, 1] + matrix[2, 2]
    w = np.where(np.abs(w) < 1e-6, 1e-6, w)
    return np.stack([x / w, y / w], 1)


def _judged(golden: PoseReference, small: Gray, matrix: Matrix) -> Pose:
    """How like the golden image the frame is where the pose puts it."""
    by = 4
    h, w = golden.quarter.shape
    up = np.array([[by, 0, (by - 1) / 2], [0, by, (by - 1) / 2], [0, 0, 1.0]])
    at = np.linalg.inv(up) @ matrix @ up
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    back = cv2.warpPerspective(small, at, (w, h), flags=flags)
    whole = np.full_like(small, 255)
    inside = cv2.warpPerspective(whole, at, (w, h), flags=flags) == 255
    covered = float(inside.mean())
    if covered < _LEAST_COVERED:
        return Pose(matrix, 0.0, covered, golden.size)
    a, b = back[inside].astype(np.float32), golden.quarter[inside].astype(np.float32)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return Pose(matrix, float(a @ b) / size if size > a.size else 0.0, covered, golden.size)


_LEAST_COVERED: Final = 0.4
"""Share of the golden image in the frame below which a likeness says nothing."""
