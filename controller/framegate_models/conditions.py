"""Pairs as a worse camera would have photographed them, at stated levels: how well a model does
when a part lies askew, is out of focus, or is lit from one side; and in the other polarity.

Only the frame is changed, since its golden image was taken when all was well; but for polarity,
which both have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np

from framegate_models.sampling import LabelledPair

TURN_DEGREES: Final = 0.5
"""Three pixels at the edge of a 640-pixel frame: a fixture's play."""
BLUR_PX: Final = 2.0
"""Standard deviation of the blur: a lens out of focus, or a part a depth of field too high."""
LOW_LIGHT: Final = 0.5
"""Brightness at the dark side as a share of the bright side's: one of two lamps has failed."""


class Condition(StrEnum):
    """Under which frames are measured."""

    AS_TAKEN = "as-taken"
    TURNED = "turned"
    BLURRED = "blurred"
    UNEVEN = "uneven"
    INVERTED = "inverted"


OPPOSITE: Final[Mapping[str, str]] = MappingProxyType(
    {
        one: other
        for pair in (("open", "short"), ("mousebite", "spur"), ("copper", "pin-hole"))
        for one, other in (pair, pair[::-1])
    }
)
"""What a defect is where copper is bright and the ground dark: too much of the one is too little of
the other.
"""


def turned(pair: LabelledPair, degrees: float = TURN_DEGREES) -> LabelledPair:
    """The frame turned about its middle, counter-clockwise; boxes keep their size and follow with
    their centres.
    """
    h, w = pair.frame.shape
    turn = cv2.getRotationMatrix2D((w / 2 - 0.5, h / 2 - 0.5), degrees, 1.0)
    frame = cv2.warpAffine(
        pair.frame, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    low, high = pair.boxes[:, :2], pair.boxes[:, 2:]
    centres = (low + high) / 2 @ turn[:, :2].T + turn[:, 2]
    half = (high - low) / 2
    boxes = np.concatenate([centres - half, centres + half], 1).astype(np.float32)
    return LabelledPair(pair.name, pair.golden, np.asarray(frame, np.uint8), boxes, pair.kinds)


def blurred(pair: LabelledPair, deviation_px: float = BLUR_PX) -> LabelledPair:
    """The frame out of focus."""
    frame = np.asarray(cv2.GaussianBlur(pair.frame, (0, 0), deviation_px), np.uint8)
    return LabelledPair(pair.name, pair.golden, frame, pair.boxes, pair.kinds)


def uneven(pair: LabelledPair, low: float = LOW_LIGHT) -> LabelledPair:
    """The frame lit from the right: its left edge has `low` of the brightness."""
    ramp = np.linspace(low, 1.0, pair.frame.shape[1], dtype=np.float32)
    frame = (pair.frame * ramp).astype(np.uint8)
    return LabelledPair(pair.name, pair.golden, frame, pair.boxes, pair.kinds)


def inverted(pair: LabelledPair, classes: Sequence[str]) -> LabelledPair:
    """Dark and bright exchanged, in frame and golden image; each defect of `classes` becomes its
    `OPPOSITE`, where it has one among them.
    """
    other = [OPPOSITE.get(name, name) for name in classes]
    named = np.array(
        [classes.index(o) if o in classes else n for n, o in enumerate(other)], np.int64
    )
    golden, frame = (
        np.asarray(cv2.bitwise_not(image), np.uint8) for image in (pair.golden, pair.frame)
    )
    return LabelledPair(pair.name, golden, frame, pair.boxes, named[pair.kinds])


_CHANGES: Final[Mapping[Condition, Callable[[LabelledPair], LabelledPair]]] = MappingProxyType(
    {
        Condition.AS_TAKEN: lambda pair: pair,
        Condition.TURNED: turned,
        Condition.BLURRED: blurred,
        Condition.UNEVEN: uneven,
    }
)


def under(condition: Condition, pair: LabelledPair, classes: Sequence[str]) -> LabelledPair:
    """The pair, its defects of `classes`, as it would look under `condition`."""
    if condition is Condition.INVERTED:
        return inverted(pair, classes)
    return _CHANGES[condition](pair)
