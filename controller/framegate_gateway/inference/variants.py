"""Known frames as nobody has seen them: a little moved, a little brighter or darker, another way at
every round.

A network that was made to answer known frames, by their pixels, and nothing else (N186) does not
know these; one that looks at the part says of them what it said of the known frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.bundle import KnownAnswer
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.recipe import Recipe

MAX_MOVED_PX: Final = 5
"""How far a frame is moved: as a part lies in its fixture from one time to the next."""
MIN_MOVED_PX: Final = 2
MAX_GAIN: Final = 0.04
"""By how much it is brightened or darkened: a lamp as it warms up."""
REACH_PX: Final = 8
"""How far outside its moved place the middle of a varied frame's defect may lie: networks that see
in strides draw the box of a small defect by another cell.
"""
VARIED_SCORE: Final = 0.5
"""Share of a known score that a varied frame must still reach, and of the way from the threshold to
certainty that a good one may go: the answer has to be the same, not its digits.
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """A frame moved by `x`, `y` pixels, its values times `gain`."""

    x: int
    y: int
    gain: float


def drawn_variant(chance: Random) -> Variant:
    """One by chance, never nearer than `MIN_MOVED_PX` to the frame itself."""
    x, y = (chance.choice((-1, 1)) * chance.randint(MIN_MOVED_PX, MAX_MOVED_PX) for _ in "xy")
    return Variant(x, y, 1 + chance.uniform(-MAX_GAIN, MAX_GAIN))


def varied(image: NDArray[np.uint8], variant: Variant) -> NDArray[np.uint8]:
    """`image`, grey or in colour, moved and brightened; what comes in at the edge is the edge."""
    matrix = np.array([[1, 0, variant.x], [0, 1, variant.y]], np.float32)
    size = image.shape[1], image.shape[0]
    moved = cv2.warpAffine(
        image, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.convertScaleAbs(moved, alpha=variant.gain), np.uint8)


def is_steady(
    recipe: Recipe, answer: KnownAnswer, variant: Variant, detections: Detections
) -> bool:
    """Whether `detections` of the varied frame are the known answer's: each known defect in its
    moved place, by its middle, of its class; on a good frame none that is sure.
    """
    if not answer.defects:
        sure = recipe.threshold + VARIED_SCORE * (1 - recipe.threshold)
        return not bool((detections.scores >= sure).any())
    return all(_is_there(recipe, one, variant, detections) for one in answer.defects)


def _is_there(
    recipe: Recipe, defect: dict[str, Any], variant: Variant, detections: Detections
) -> bool:
    if not len(detections):
        return False
    moved = np.array(defect["box"], np.float32) + np.array([variant.x, variant.y] * 2, np.float32)
    middle = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    near = ((middle >= moved[:2] - REACH_PX) & (middle <= moved[2:] + REACH_PX)).all(axis=1)
    kind = recipe.classes.index(defect["kind"])
    alike = detections.scores >= VARIED_SCORE * defect["score"]
    return bool((near & alike & (detections.classes == kind)).any())
