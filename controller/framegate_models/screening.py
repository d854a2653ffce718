"""What training data is looked at for: pairs that are nearly the same, and labels that a model
trained on them still disputes (N105).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.detections import iou
from framegate_models.accuracy import MIN_IOU
from framegate_models.evaluate import Measured
from framegate_models.sampling import LabelledPair

HASH_PX: Final = 24
"""Side of the picture that a pair is compared by."""
ALIKE: Final = 0.985
"""Correlation of two such pictures, of frame and of golden image both, above which the pairs count
as near duplicates.
"""
SURE: Final = 0.9
"""Calibrated score from which a detection disputes a label."""
MAX_LISTED: Final = 200
_BLOCK: Final = 512


def thumbnails(pairs: Sequence[LabelledPair]) -> NDArray[np.float32]:
    """(n, 2 * HASH_PX²) float32: frame and golden image made small, each of mean 0 and length 1; a
    flat image is 0.
    """
    rows = []
    for pair in pairs:
        parts = []
        for image in (pair.frame, pair.golden):
            small = (
                cv2.resize(image, (HASH_PX, HASH_PX), interpolation=cv2.INTER_AREA)
                .astype(np.float32)
                .ravel()
            )
            small -= small.mean()
            length = float(np.linalg.norm(small))
            parts.append(small / length if length > 1 else np.zeros_like(small))
        rows.append(np.concatenate(parts))
    return np.array(rows, np.float32).reshape(len(pairs), 2 * HASH_PX**2)


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two pairs, by name, that show nearly the same, and how alike they are, in [0, 1]."""

    first: str
    second: str
    likeness: float


def near_duplicates(pairs: Sequence[LabelledPair]) -> list[NearDuplicate]:
    """Pairs whose frames and golden images are both `ALIKE`, the likest first, at most
    `MAX_LISTED`.
    """
    rows = thumbnails(pairs)
    half = rows.shape[1] // 2
    duplicates: list[NearDuplicate] = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        like = np.minimum(block[:, :half] @ rows[:, :half].T, block[:, half:] @ rows[:, half:].T)
        for i, j in zip(*np.nonzero(like > ALIKE), strict=True):
            if start + i < j:
                first, second = pairs[start + int(i)].name, pairs[int(j)].name
                duplicates.append(NearDuplicate(first, second, round(float(like[i, j]), 4)))
    return sorted(duplicates, key=lambda two: -two.likeness)[:MAX_LISTED]


def label_outliers(measured: Measured) -> list[dict[str, Any]]:
    """Labels that the model disputes although it was trained on them, [{pair, box, what}]: another
    class said with certainty, a certain defect without a label, a label where the model sees
    nothing at all. Poisoned or careless labels stand out so; rare but true defects too: a person
    decides. At most `MAX_LISTED`.
    """
    classes, rows = measured.score.classes, []
    for name, truth, detections in zip(
        measured.names, measured.truths, measured.detections, strict=True
    ):
        for box, kind in zip(truth.boxes, truth.kinds, strict=True):
            near = iou(box, detections.boxes) > MIN_IOU if len(detections) else np.zeros(0, bool)
            best = int(np.argmax(np.where(near, detections.scores, -1))) if near.any() else None
            if best is None:
                rows.append(
                    (
                        1.0,
                        {
                            "pair": name,
                            "box": box.tolist(),
                            "what": f"labelled {classes[int(kind)]}, the model sees nothing",
                        },
                    )
                )
            elif detections.classes[best] != kind and detections.scores[best] >= SURE:
                what = (
                    f"labelled {classes[int(kind)]}, the model says"
                    f" {classes[int(detections.classes[best])]} ({detections.scores[best]:.2f})"
                )
                rows.append(
                    (
                        float(detections.scores[best]),
                        {"pair": name, "box": box.tolist(), "what": what},
                    )
                )
        for box, kind, value in zip(
            detections.boxes, detections.classes, detections.scores, strict=True
        ):
            if value >= SURE and not (
                len(truth.boxes) and (iou(box, truth.boxes) > MIN_IOU / 2).any()
            ):
                rows.append(
                    (
                        float(value),
                        {
                            "pair": name,
                            "box": [round(float(v), 1) for v in box],
                            "what": f"no label, the model says {classes[int(kind)]} ({value:.2f})",
                        },
                    )
                )
    rows.sort(key=lambda row: -row[0])
    return [row for _, row in rows[:MAX_LISTED]]
