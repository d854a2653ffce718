"""From labelled pairs to what a network trains on: crops, turned and re-lit, and the maps it should
answer with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.detections import STRIDE_PX

CROP_PX: Final = 320
"""Half a frame's side: sixteen crops of sixteen boards teach more than four whole boards."""
MISPLACED: Final = 0.2
"""Share of crops whose golden image is moved by a pixel or some."""
TURNED: Final = 0.2
"""Share of crops whose golden image is turned as well, by about half a degree: what registration of
shifts alone leaves of a part that lies askew.
"""
BLURRED: Final = 0.12
UNEVEN: Final = 0.12
"""Shares of crops whose frame alone is out of focus, or lit from one side: the golden image was
taken when the camera was new.
"""
POLARITY: Final = {
    "open": "short",
    "short": "open",
    "mousebite": "spur",
    "spur": "mousebite",
    "copper": "pin-hole",
    "pin-hole": "copper",
}
"""What a defect is called when copper and ground change places: each class has its mirror."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """One inspected image: `golden` and `frame` (h, w) uint8 grey; `boxes` (n, 4) float32 x1 y1 x2
    y2 in pixels; `kinds` (n,) int64 index into the classes.
    """

    name: str
    golden: NDArray[np.uint8]
    frame: NDArray[np.uint8]
    boxes: Floats
    kinds: NDArray[np.int64]


class Targets(NamedTuple):
    """`heat` (classes, s, s), `geometry` (4, s, s) and its `mask` (s, s), all float32; s = side of
    the crop / 8.
    """

    heat: Floats
    geometry: Floats
    mask: Floats


class Sample(NamedTuple):
    """`crop` (2, c, c), `light` (2, 2) gain and offset of frame and golden image, and the targets
    of the crop. Its members are stacked into a batch one by one.
    """

    crop: NDArray[np.uint8]
    light: Floats
    heat: Floats
    geometry: Floats
    mask: Floats


def mirror_of(classes: tuple[str, ...]) -> NDArray[np.int64] | None:
    """For each class the index of its mirror under `POLARITY`, or None where a class has none among
    `classes`.
    """
    if any(POLARITY.get(c) not in classes for c in classes):
        return None
    return np.array([classes.index(POLARITY[c]) for c in classes], np.int64)


def targets(boxes: Floats, kinds: NDArray[np.int64], classes: int, size: int = CROP_PX) -> Targets:
    """What the network should answer for boxes (n, 4) inside a crop of `size` pixels."""
    s = size // STRIDE_PX
    heat, geometry, mask = (
        np.zeros((classes, s, s), np.float32),
        np.zeros((4, s, s), np.float32),
        np.zeros((s, s), np.float32),
    )
    for (x1, y1, x2, y2), kind in zip(boxes, kinds, strict=True):
        cx, cy, w, h = (
            (x1 + x2) / 2 / STRIDE_PX,
            (y1 + y2) / 2 / STRIDE_PX,
            (x2 - x1) / STRIDE_PX,
            (y2 - y1) / STRIDE_PX,
        )
        ix, iy = int(cx), int(cy)
        if not (0 <= cx < s and 0 <= cy < s) or w <= 0 or h <= 0:
            continue
        gx = np.exp(-((np.arange(s) - ix) ** 2) / (2 * (0.13 * w + 0.25) ** 2))
        gy = np.exp(-((np.arange(s) - iy) ** 2) / (2 * (0.13 * h + 0.25) ** 2))
        heat[kind] = np.maximum(heat[kind], np.outer(gy, gx))
        for y in range(max(0, iy - 1), min(s, iy + 2)):
            for x in range(max(0, ix - 1), min(s, ix + 2)):
                geometry[:, y, x] = (cx - x, cy - y, np.log(w), np.log(h))
                mask[y, x] = 1
    return Targets(heat, geometry, mask)


def sample(
    rng: np.random.Generator, pair: LabelledPair, classes: int, mirror: NDArray[np.int64] | None
) -> Sample:
    """A random crop of one pair, turned, mirrored, its polarity sometimes changed."""
    h, w = pair.frame.shape
    boxes, kinds = pair.boxes, pair.kinds
    x, y = int(rng.integers(0, w - CROP_PX + 1)), int(rng.integers(0, h - CROP_PX + 1))
    if len(boxes) and rng.random() < 0.6:
        b = boxes[rng.integers(0, len(boxes))]
        x = int(np.clip((b[0] + b[2]) / 2 - rng.uniform(10, CROP_PX - 10), 0, w - CROP_PX))
        y = int(np.clip((b[1] + b[3]) / 2 - rng.uniform(10, CROP_PX - 10), 0, h - CROP_PX))
    gx, gy = x, y
    if rng.random() < MISPLACED:
        # what registration left over, or a part that is bent
        gx, gy = (
            int(np.clip(v + round(rng.normal(0, 1.7)), 0, side - CROP_PX))
            for v, side in ((x, w), (y, h))
        )
    both = np.stack(
        [
            pair.frame[y : y + CROP_PX, x : x + CROP_PX],
            pair.golden[gy : gy + CROP_PX, gx : gx + CROP_PX],
        ]
    )
    boxes = boxes - np.array([x, y, x, y], np.float32)
    if rng.random() < 0.5:
        both, boxes = (
            both[:, :, ::-1],
            np.stack([CROP_PX - boxes[:, 2], boxes[:, 1], CROP_PX - boxes[:, 0], boxes[:, 3]], 1),
        )
    if rng.random() < 0.5:
        both, boxes = both.transpose(0, 2, 1), boxes[:, [1, 0, 3, 2]]
    if mirror is not None and rng.random() < 0.35:
        both, kinds = ~both, mirror[kinds]
    both = np.ascontiguousarray(both)
    disturb(rng, both)
    light = np.array([[1, 0], [1, 0]], np.float32)
    if rng.random() < 0.25:
        light = np.stack([rng.uniform(0.7, 1.0, 2), rng.uniform(0, 0.15, 2)], 1).astype(np.float32)
    return Sample(both, light, *targets(boxes, kinds, classes))


def disturb(rng: np.random.Generator, both: NDArray[np.uint8]) -> None:
    """Changes `both` (2, c, c), frame and golden image, in place: now and then the golden image is
    turned by a hair, the frame blurred, or lit from one side.
    """
    c = both.shape[1]
    if rng.random() < TURNED:
        angle = float(rng.normal(0, 0.5))
        turn = cv2.getRotationMatrix2D((c / 2, c / 2), angle, 1.0)
        turn[:, 2] = turn[:, 2] + rng.normal(0, 0.5 + abs(angle), 2)
        both[1] = cv2.warpAffine(
            both[1], turn, (c, c), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    if rng.random() < BLURRED:
        both[0] = cv2.GaussianBlur(both[0], (0, 0), float(rng.uniform(0.7, 2.6)))
    if rng.random() < UNEVEN:
        ramp = np.linspace(1.0, float(rng.uniform(0.45, 0.95)), c, dtype=np.float32)
        if rng.random() < 0.5:
            ramp = ramp[::-1]
        both[0] = (both[0] * (ramp if rng.random() < 0.5 else ramp[:, None])).astype(np.uint8)
