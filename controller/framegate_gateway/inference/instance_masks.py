"""Instance masks: where in its box a detector that segments sees each defect, as heat.

A mask says more of a defect and takes none away: a detection counts by its box and score, whatever
its mask shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framegate.signed.heat import MAX_GRIDS
from framegate_gateway.inference.box_answers import activated, boxes_answered
from framegate_gateway.inference.layouts import MASK_NUMBERS
from framegate_gateway.inference.picture_input import Floats, Placing
from framegate_gateway.inference.recipe import Recipe


def mask_heat(
    recipe: Recipe, arrays: Sequence[NDArray[Any]], placing: Placing, threshold: float
) -> Floats:
    """Over the frame (h, w), how surely each place belongs to one of the `MAX_GRIDS` best
    detections of at least `threshold`, in [0, 1]: each mask inside its own box. Raises Unavailable
    (INFERENCE).
    """
    answered = boxes_answered(recipe, arrays, placing, threshold)
    best, numbers = answered.detections.boxes[:MAX_GRIDS], answered.numbers[:MAX_GRIDS]
    by_box = arrays[0][0].T if recipe.layout.name == "yolov8-seg" else arrays[0][0]
    mixed: NDArray[np.float64] = by_box[numbers][:, -MASK_NUMBERS:].astype(np.float64)
    prototypes: NDArray[np.float64] = arrays[1][0].astype(np.float64)
    masks = activated(np.einsum("nk,khw->nhw", mixed, prototypes), "sigmoid", 0)
    heat = placing.map_of(np.zeros(prototypes[0].shape, np.float32)).copy()
    high, wide = heat.shape[:2]
    x, y = wide / placing.size[1], high / placing.size[0]
    for mask, box in zip(masks, best, strict=True):
        left, top = int(box[0] * x), int(box[1] * y)
        here = slice(top, int(np.ceil(box[3] * y))), slice(left, int(np.ceil(box[2] * x)))
        heat[here] = np.maximum(heat[here], placing.map_of(mask)[here])
    return heat
