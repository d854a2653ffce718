"""What second looks measure of one scene, each a pure function with a unit of its own.

They compare the frame with its golden image by other means than the network: what was made to
mislead the network by its gradients says nothing to a median or a correlation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.looks.kinds import Look
from framegate_gateway.inference.scene import BLOCK_PX, Mask, Scene

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


def high_frequency(scene: Scene) -> float:
    """Mean fine grain of the flat zones, in grey levels."""
    grain = cv2.absdiff(scene.frame, scene.smooth)
    return float(cv2.mean(grain, scene.flat)[0])


def high_frequency_block(scene: Scene) -> float:
    """The same in the block of `BLOCK_PX` pixels that has most of it."""
    h, w = scene.frame.shape
    blocks = (max(1, w // BLOCK_PX), max(1, h // BLOCK_PX))
    grain = cv2.bitwise_and(cv2.absdiff(scene.frame, scene.smooth), scene.flat)
    sums, flat = (
        cv2.resize(image.astype(np.float32), blocks, interpolation=cv2.INTER_AREA)
        for image in (grain, scene.flat)
    )
    share = flat / 255
    enough = share >= LEAST_FLAT
    return float((sums[enough] / share[enough]).max()) if bool(enough.any()) else 0.0


def golden_edges(scene: Scene) -> float:
    """Mean difference from the golden image along its edges, in grey levels: no two boards are
    etched, and no two photographs taken, alike. Nothing is left where the golden image is shown.
    """
    return float(cv2.mean(cv2.absdiff(scene.frame, scene.golden), scene.edges)[0])


def grain(image: Mask, smooth: Mask, zone: Mask) -> NDArray[np.float32]:
    """(n,) signed fine grain of an image in the pixels of `zone`, without what stands out: the
    sensor's noise, and no edges.
    """
    fine = cv2.subtract(image, smooth, dtype=cv2.CV_32F)
    inside = np.clip(fine[zone > 0], -MOST_GRAIN, MOST_GRAIN)
    return np.asarray(inside, np.float32)


MOST_GRAIN: Final = 12.0
"""Grey levels of a sensor's noise; more is a speck."""


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Of two patterns (n,), in [-1, 1]; 0 where one has nothing in it."""
    if not a.size:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt(float(a @ a) * float(b @ b)))
    return float(a @ b) / size if size > a.size * NO_GRAIN**2 else 0.0


NO_GRAIN: Final = 0.05
"""Grey levels of deviation below which there is no pattern to compare."""


def golden_noise(scene: Scene) -> float:
    """Correlation of the frame's fine grain with the golden image's own, in the flat zones of the
    middle of the picture.
    """
    rows, columns = middle(scene)
    zone = scene.flat[rows, columns]
    golden = scene.golden[rows, columns]
    return correlation(
        grain(scene.frame[rows, columns], scene.smooth[rows, columns], zone),
        grain(golden, np.asarray(cv2.medianBlur(golden, 3), np.uint8), zone),
    )


MIDDLE_PX: Final = 256
"""Side of the middle of the picture, in which patterns are compared: 65,000 pixels say as much as
all, and cost a sixth.
"""


def middle(scene: Scene) -> tuple[slice, slice]:
    """Rows and columns of the middle of the picture."""
    h, w = scene.frame.shape
    y, x = max(0, (h - MIDDLE_PX) // 2), max(0, (w - MIDDLE_PX) // 2)
    return slice(y, y + MIDDLE_PX), slice(x, x + MIDDLE_PX)


def _around(box: NDArray[np.float32], margin: int) -> tuple[slice, slice]:
    """Rows and columns of a box of the frame and `margin` pixels around, at half resolution."""
    x1, y1, x2, y2 = (float(side) for side in box)
    left, top = (max(0, int((side - margin) / 2)) for side in (x1, y1))
    right, bottom = (max(0, int(np.ceil((side + margin) / 2))) for side in (x2, y2))
    return slice(top, bottom), slice(left, right)


def at_the_gate(scene: Scene) -> dict[Look, float]:
    """Light, contrast and focus of the frame against the golden image's, at half resolution."""
    (level, spread), (golden_level, golden_spread) = (
        (float(number[0, 0]) for number in cv2.meanStdDev(image))
        for image in (scene.half, scene.half_golden)
    )
    edges, golden_edges = (
        float(cv2.meanStdDev(cv2.Laplacian(image, cv2.CV_16S))[1][0, 0])
        for image in (scene.half, scene.half_golden)
    )
    contrast = spread / max(golden_spread, NO_GRAIN)
    return {
        Look.CONTRAST: contrast,
        Look.LIGHT: abs(level - golden_level) / 255,
        Look.FOCUS: (edges / max(golden_edges, NO_GRAIN) / max(contrast, 1e-6)) ** 2,
    }


_OF_SCENES: Final[Mapping[Look, Callable[[Scene], float]]] = MappingProxyType(
    {
        Look.HIGH_FREQUENCY: high_frequency,
        Look.HIGH_FREQUENCY_BLOCK: high_frequency_block,
        Look.NOISE_FLOOR: high_frequency,
        Look.GOLDEN_EDGES: golden_edges,
        Look.GOLDEN_NOISE: golden_noise,
    }
)


def measured(scene: Scene, boxes: Boxes) -> dict[Look, float]:
    """Every look at one scene by itself, beside `boxes` (n, 4) of what was detected in it."""
    said = {look: measure(scene) for look, measure in _OF_SCENES.items()}
    said[Look.RESIDUAL] = residual(scene, boxes)
    ground = groundless(scene, boxes)
    return said if ground is None else said | {Look.GROUNDLESS: ground}
