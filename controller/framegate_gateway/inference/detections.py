"""Detections: what a model found in one frame, and how the network's output maps become them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.answers import MAX_DETECTIONS

MAX_OVERLAP: Final = 0.35
"""Overlap from where on two boxes of the default model are one defect."""
STRIDE_PX: Final = 8
"""Pixels per cell of the network's output maps."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes found in one frame, best score first.

    boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the frame; classes: (n,) int64, index into the
    recipe's classes; scores: (n,) float32 in [0, 1]. Raises ValueError where the shapes disagree.
    """

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.classes.shape != (n,) or self.scores.shape != (n,):
            raise ValueError(
                f"expected boxes (n, 4), classes (n,), scores (n,); got {self.boxes.shape},"
                f" {self.classes.shape}, {self.scores.shape}"
            )

    def __len__(self) -> int:
        return len(self.scores)


def detections_from_maps(
    heat: NDArray[np.float32], geometry: NDArray[np.float32], threshold: float
) -> Detections:
    """Boxes from one image's maps.

    heat: (classes, h, w), peak scores in [0, 1] with non-peaks at 0. geometry: (4, h, w): offset of
    the centre inside the cell (x, y, in cells) and log of width and height in cells. Overlapping
    boxes of any class are merged to the best one, because one place on a part has one defect.
    """
    # places as one number each: three of them, for a frame that has hardly any, cost the double
    peaks = np.flatnonzero(heat >= threshold)
    scores = heat.ravel()[peaks]
    order = np.argsort(-scores, kind="stable")[: 4 * MAX_DETECTIONS]
    classes, ys, xs = np.unravel_index(peaks[order], heat.shape)
    scores = scores[order]
    dx, dy, lw, lh = geometry[:, ys, xs]
    cx, cy = (xs + dx) * STRIDE_PX, (ys + dy) * STRIDE_PX
    w, h = np.exp(np.clip(lw, -3, 5)) * STRIDE_PX, np.exp(np.clip(lh, -3, 5)) * STRIDE_PX
    boxes = (
        np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
        .astype(np.float32)
        .reshape(-1, 4)
    )
    keep = suppressed(boxes)
    return Detections(boxes[keep], classes[keep].astype(np.int64), scores[keep].astype(np.float32))


def calibrated(scores: NDArray[np.float32], curve: tuple[float, float]) -> NDArray[np.float32]:
    """Raw scores by a calibration curve (slope, offset) over their logits."""
    slope, offset = curve
    if curve == (1.0, 0.0):
        return scores
    clipped = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(
        1 / (1 + np.exp(-(slope * np.log(clipped / (1 - clipped)) + offset))), np.float32
    )


def uncalibrated(score: float, curve: tuple[float, float]) -> float:
    """The raw score behind a calibrated one."""
    slope, offset = curve
    if curve == (1.0, 0.0):
        return score
    return float(1 / (1 + np.exp(-((np.log(score / (1 - score)) - offset) / slope))))


def iou(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box (4,) with boxes (n, 4): (n,) float32."""
    left, top = np.maximum(box[0], boxes[:, 0]), np.maximum(box[1], boxes[:, 1])
    right, bottom = np.minimum(box[2], boxes[:, 2]), np.minimum(box[3], boxes[:, 3])
    inter = np.clip(right - left, 0, None) * np.clip(bottom - top, 0, None)
    area = (
        (box[2] - box[0]) * (box[3] - box[1])
        + (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        - inter
    )
    return np.asarray(inter / np.maximum(area, 1e-6), dtype=np.float32)


def suppressed(boxes: NDArray[np.float32], most: float = MAX_OVERLAP) -> list[int]:
    """Which of `boxes` (n, 4), best first, stay where those that overlap a better one by `most` go;
    at most `MAX_DETECTIONS`.
    """
    if not len(boxes):
        return []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    low, high = (
        np.maximum(boxes[:, None, :2], boxes[None, :, :2]),
        np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]),
    )
    inter = np.clip(high - low, 0, None).prod(axis=2)
    clash = inter >= most * np.maximum(area[:, None] + area[None, :] - inter, 1e-6)
    keep: list[int] = []
    gone = np.zeros(len(boxes), bool)
    for i in range(len(boxes)):
        if not gone[i]:
            keep.append(i)
            gone |= clash[i]
    return keep[:MAX_DETECTIONS]
