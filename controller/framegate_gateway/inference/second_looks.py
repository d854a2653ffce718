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
from framegate_gateway.inference.scene import BLOCK_PX, Scene

Boxes = NDArray[np.float32]
AROUND_PX: Final = 12
"""How far around a detection's box a difference counts as explained by it: boxes are drawn by the
network, to a stride of eight pixels.
"""
LEAST_FLAT: Final = 0.25
"""Share of a block that has to be flat for its grain to say anything."""


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


def _sums(image: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of each whole block, from the image's integral."""
    corners = cv2.integral(image)[::BLOCK_PX, ::BLOCK_PX].astype(np.float64)
    return np.asarray(corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1])


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
    }
    ground = groundless(scene, boxes)
    return said if ground is None else said | {Look.GROUNDLESS: ground}
