"""A part's rules, applied to what the model found. In the inference child alone: it needs OpenCV,
which the process that holds keys does not load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from framegate_gateway.inference.detections import Detections


def apply_rules(
    detections: Detections,
    rules: Mapping[str, Any],
    classes: tuple[str, ...],
    threshold: float,
    size: tuple[int, int],
    *,
    regions: bool = False,
) -> Detections:
    """The detections that count as defects of a part; `size` is the frame's (h, w).

    A box that is the whole frame has no centre that means anything: no region of `ignore` drops it.
    Where `regions` are what was found, heat in those regions was left out before, by area.
    """
    own = rules.get("thresholds") or {}
    least = np.array([float(own.get(c, threshold)) for c in classes])
    keep = detections.scores >= least[detections.classes]
    if rules.get("min_size_px"):
        keep &= (
            np.maximum(
                detections.boxes[:, 2] - detections.boxes[:, 0],
                detections.boxes[:, 3] - detections.boxes[:, 1],
            )
            >= rules["min_size_px"]
        )
    whole = (detections.boxes == np.array([0, 0, size[1], size[0]], np.float32)).all(axis=1)
    for polygon in () if regions else rules.get("ignore") or ():
        corners = (np.array(polygon) * (size[1], size[0])).astype(np.float32)
        centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
        keep &= whole | np.array(
            [cv2.pointPolygonTest(corners, (float(x), float(y)), False) < 0 for x, y in centres],
            bool,
        ).reshape(-1)
    return Detections(detections.boxes[keep], detections.classes[keep], detections.scores[keep])


def least_threshold(rules: Mapping[str, Any], classes: tuple[str, ...], threshold: float) -> float:
    """The lowest threshold of any class under `rules`."""
    own = rules.get("thresholds") or {}
    return min(float(own.get(c, threshold)) for c in classes)
