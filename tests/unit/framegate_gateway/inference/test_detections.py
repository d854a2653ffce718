"""Detections are checked and merged."""

import numpy as np
import pytest

from framegate_gateway.inference.detections import Detections, detections_from_maps


def test_detections_are_checked_and_merged():
    with pytest.raises(ValueError, match="expected boxes"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, np.float32))
    heat, geometry = np.zeros((6, 10, 10), np.float32), np.zeros((4, 10, 10), np.float32)
    geometry[2:] = np.log(4)
    heat[0, 5, 5], heat[3, 5, 5], heat[2, 1, 1] = 0.9, 0.8, 0.5
    detections = detections_from_maps(heat, geometry, 0.4)
    assert list(detections.classes) == [0, 2] and list(np.round(detections.boxes[0])) == [
        24,
        24,
        56,
        56,
    ]
