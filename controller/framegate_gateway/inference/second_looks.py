"""What second looks measure of one scene, each a pure function with a unit of its own.

They compare the frame with its golden image by other means than the network: what was made to
mislead the network by its gradients says nothing to a median or a correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.looks.kinds import Look
from framegate_gateway.inference.scene import BLOCK_PX, Scene, halved

Boxes = NDArray[np.float32]
AROUND_PX: Final = 12
"""How far around a detection's box a difference counts as explained by it: boxes are drawn by the
network, to a stride of eight pixels.
"""
LEAST_FLAT: Final = 0.25
"""Share of a block that has to be flat for its grain to say anything."""
COARSE: Final = 4
"""Pixels of the frame, each way, that are one where coarse grain is looked for: finer grain has a
look of its own.
"""
LOCAL: Final = 9
"""Side, in those, of what a place is held against: light that changes slowly is no grain."""
PLACE_PX: Final = 128
"""Side of the pieces that coarse grain is weighed in: a network is blinded to a defect by what lies
within some hundred pixels of it, and a speck is a small part of so much.
"""
CELL_PX: Final = 16
"""From one piece to the next."""
LEAST_INNER: Final = 0.2
"""Share of a piece that has to be flat for its coarse grain to say anything."""
MOST_COARSE: Final = 8.0
"""Grey levels that a place counts at most: one stain is no grain."""
_INNER: Final = np.ones((3, 3), np.uint8)
"""What of the flat zones lies beside an edge is left out: edges lie off by some pixels."""


def residual(scene: Scene, boxes: Boxes) -> float:
    """The largest difference from the golden image outside `boxes` (n, 4), in grey levels: a defect
    that nothing explains.
    """
    unlike = scene.unlike
    if len(boxes):
        unlike = unlike.copy()
        for box in boxes:
            rows, columns = _around(box, AROUND_PX)
            unlike[rows, columns] = 0
    return float(unlike.max()) if unlike.size else 0.0


def groundless(scene: Scene, boxes: Boxes) -> float | None:
    """The largest difference from the golden image under the box that has least of it, in grey
    levels; None without boxes.
    """
    under = []
    for box in boxes:
        rows, columns = _around(box, 4)
        here = scene.unlike[rows, columns]
        under.append(float(here.max()) if here.size else 0.0)
    return min(under) if under else None


def golden_edges(scene: Scene) -> float:
    """Mean difference from the golden image along its edges, in grey levels: no two boards are
    etched, and no two photographs taken, alike. Nothing is left where the golden image is shown.
    """
    off = cv2.bitwise_and(cv2.absdiff(scene.frame, scene.golden), scene.edges)
    return float(cv2.sumElems(off)[0]) / max(1, cv2.countNonZero(scene.edges))


@dataclass(frozen=True, slots=True)
class Grain:
    """Mean fine grain of the flat zones, in grey levels: of the `whole`, and of the `block` of
    `BLOCK_PX` pixels that has most of it.
    """

    whole: float
    block: float


def grain(scene: Scene) -> Grain:
    """See `Grain`; nothing where hardly anything is flat."""
    fine = cv2.bitwise_and(cv2.absdiff(scene.frame, scene.smooth), scene.flat)
    sums, counts = _sums(fine), _sums(scene.flat) / 255
    whole = float(sums.sum()) / max(1.0, float(counts.sum()))
    enough = counts >= LEAST_FLAT * BLOCK_PX**2
    block = float((sums[enough] / counts[enough]).max()) if bool(enough.any()) else 0.0
    return Grain(whole, block)


def coarse_grain(scene: Scene, boxes: Boxes) -> float:
    """Mean coarse grain of the flat zones outside `boxes` (n, 4), in grey levels, in the piece of
    `PLACE_PX` that has most of it: what a smooth perturbation leaves, too coarse for fine grain and
    too weak for a difference. 0 where hardly anything is flat.
    """
    flat = halved(halved(scene.flat))
    inner = cv2.erode(cv2.threshold(flat, 254, 1, cv2.THRESH_BINARY)[1], _INNER)
    for box in boxes:
        rows, columns = _around(box, AROUND_PX)
        inner[rows.start // 2 : -(-rows.stop // 2), columns.start // 2 : -(-columns.stop // 2)] = 0
    seen = inner.astype(np.float32)
    frame, golden = halved(scene.half), halved(scene.half_golden)
    off = (frame.astype(np.float32) - golden) * seen
    around = LOCAL, LOCAL
    usual = cv2.blur(off, around) / np.maximum(cv2.blur(seen, around), 1e-3)
    grain = np.minimum(np.abs(off - usual), MOST_COARSE) * seen
    mean, share = (_pieces(image) for image in (grain, seen))
    enough = share >= LEAST_INNER
    return float((mean[enough] / share[enough]).max()) if bool(enough.any()) else 0.0


def _pieces(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over pieces of `PLACE_PX`, one at each `CELL_PX`, of what is `COARSE` as small as the
    frame; a piece that reaches over the picture's edge is mirrored there.
    """
    size = tuple(max(1, side * COARSE // CELL_PX) for side in reversed(image.shape))
    cells = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    side = PLACE_PX // CELL_PX, PLACE_PX // CELL_PX
    return np.asarray(cv2.blur(cells, side, borderType=cv2.BORDER_REFLECT), np.float32)


def _sums(image: NDArray[Any]) -> NDArray[np.int64]:
    """(rows, columns) sum of each whole block: of its rows first, which lie together."""
    rows, columns = (side // BLOCK_PX for side in image.shape)
    whole = np.ascontiguousarray(image[: rows * BLOCK_PX, : columns * BLOCK_PX])
    if not whole.size:
        return np.zeros((rows, columns), np.int64)
    lines = cv2.reduce(whole.reshape(-1, BLOCK_PX), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return np.asarray(lines.reshape(rows, BLOCK_PX, columns).sum(axis=1, dtype=np.int64))


def _around(box: NDArray[np.float32], margin: int) -> tuple[slice, slice]:
    """Rows and columns of a box of the frame and `margin` pixels around, at half resolution."""
    x1, y1, x2, y2 = (float(side) for side in box)
    left, top = (max(0, int((side - margin) / 2)) for side in (x1, y1))
    right, bottom = (max(0, int(np.ceil((side + margin) / 2))) for side in (x2, y2))
    return slice(top, bottom), slice(left, right)


def at_the_gate(scene: Scene) -> dict[Look, float]:
    """Light, contrast and focus of the frame against the golden image's, at half resolution."""
    light = scene.light
    return {
        Look.CONTRAST: light.contrast,
        Look.LIGHT: light.off,
        Look.FOCUS: light.sharpness,
    }


def measured(scene: Scene, boxes: Boxes) -> dict[Look, float]:
    """Every look at one scene by itself, beside `boxes` (n, 4) of what was detected in it."""
    fine = grain(scene)
    said = {
        Look.HIGH_FREQUENCY: fine.whole,
        Look.HIGH_FREQUENCY_BLOCK: fine.block,
        Look.NOISE_FLOOR: fine.whole,
        Look.GOLDEN_EDGES: golden_edges(scene),
        Look.RESIDUAL: residual(scene, boxes),
        Look.COARSE_GRAIN: coarse_grain(scene, boxes),
    }
    ground = groundless(scene, boxes)
    return said if ground is None else said | {Look.GROUNDLESS: ground}
