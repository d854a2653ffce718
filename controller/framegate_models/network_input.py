"""The input of a network that is learned: by the proportions of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from framegate.errors import Malformed, Reason
from framegate_gateway.inference.recipe import PictureInput
from framegate_models.backbone import DEVIATION, MEAN
from framegate_models.sound_pictures import Sound
from framegate_models.surface_graph import INPUT

AREA_PX: Final = 384 * 384
"""Of the network's input: what two cores look at in a little more than ten milliseconds."""
ALIKE_RATIO: Final = 1.15
"""Pictures whose proportions differ by more are cut-outs: brought to one contrast, they are not
stretched to one shape either.
"""
LEAST_SIDE_PX: Final = 192
MOST_SIDE_PX: Final = 768
SIDE_STEP_PX: Final = 32
"""What the backbone halves five times."""


def input_of(
    pictures: Sequence[Sound], size: tuple[int, int] | None, *, evened: bool
) -> PictureInput:
    """An input of `size` (width, height); None: of `AREA_PX` in the proportions of the middle one
    of the pictures. `evened` pictures of differing proportions keep them, in an input that most
    fill on one side. Raises Malformed (USAGE).
    """
    shapes = np.array([one.picture.shape[1::-1] for one in pictures], np.float64)
    ratios = shapes[:, 0] / shapes[:, 1]
    low, high = np.quantile(ratios, [0.05, 0.95])
    fit = "letterbox" if evened and high > ALIKE_RATIO * low else "stretch"
    if size is None:
        wide, tall = np.quantile(shapes, 0.95, axis=0)
        ratio = float(wide / tall if fit == "letterbox" else np.median(ratios))
        sides = (AREA_PX * ratio) ** 0.5, (AREA_PX / ratio) ** 0.5
        width, height = (_stepped(side) for side in sides)
    else:
        width, height = size
    if width % SIDE_STEP_PX or height % SIDE_STEP_PX or min(width, height) < LEAST_SIDE_PX:
        raise Malformed.of(
            Reason.USAGE,
            f"sides of {LEAST_SIDE_PX} pixels at least, multiples of {SIDE_STEP_PX}",
            f"{width}x{height}",
            "--size 384x384",
        )
    return PictureInput(
        INPUT, int(width), int(height), divide=1.0, mean=(MEAN,), deviation=(DEVIATION,), fit=fit
    )


def _stepped(side: float) -> int:
    return int(np.clip(round(side / SIDE_STEP_PX) * SIDE_STEP_PX, LEAST_SIDE_PX, MOST_SIDE_PX))
