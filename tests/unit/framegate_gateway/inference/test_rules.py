"""Rules of a part decide what is a defect."""

import numpy as np

from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.rules import apply_rules
from framegate_simulators.boards.boards import CLASSES


def boxes(*rows) -> Detections:
    return Detections(
        np.array([r[:4] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[4] for r in rows], np.int64),
        np.array([r[5] for r in rows], np.float32),
    )


def test_rules_of_a_part_decide_what_is_a_defect():
    detections = boxes(
        (0, 0, 30, 30, 0, 0.9), (100, 100, 110, 108, 1, 0.9), (300, 300, 340, 340, 2, 0.55)
    )

    def keep(**rules):
        return [int(c) for c in apply_rules(detections, rules, CLASSES, 0.5, (640, 640)).classes]

    assert keep() == [0, 1, 2]
    assert keep(thresholds={"mousebite": 0.6}) == [0, 1] and keep(thresholds={"open": 0.95}) == [
        1,
        2,
    ]
    assert keep(min_size_px=20) == [0, 2]
    assert keep(ignore=[((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))]) == [0, 1]
    assert (
        len(
            apply_rules(
                boxes(),
                {"min_size_px": 3, "ignore": [((0, 0), (1, 0), (1, 1))]},
                CLASSES,
                0.5,
                (640, 640),
            )
        )
        == 0
    )
