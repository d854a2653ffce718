"""What detectors say, in each of the usual `layouts`, as detections in the frame.

Every number is input: a network may be wrong, exported otherwise than its recipe says, or made to
harm. What cannot be meant raises Unavailable (INFERENCE), and the frame is UNINSPECTED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framegate.errors import Reason, Unavailable
from framegate_gateway.inference.answers import MAX_DETECTIONS
from framegate_gateway.inference.detections import Detections, suppressed
from framegate_gateway.inference.layouts import MASK_NUMBERS
from framegate_gateway.inference.picture_input import Floats, Placing
from framegate_gateway.inference.recipe import Output, Recipe

MAX_CANDIDATES: Final = 2_000
"""Boxes above the threshold that overlaps are looked for among: twenty times what is kept. With
more, the network sees defects everywhere, and the best of them say so.
"""
SCORE_ROUNDING: Final = 1e-3
"""By how much a probability may pass 0 or 1: quantised networks round."""
MAX_OUTSIDE: Final = 1.0
"""How far outside the input a box may reach, in sides of it: what is cut by the edge is guessed
whole.
"""
Arrays = Sequence[NDArray[Any]]


class Candidates(NamedTuple):
    """Boxes before any is dropped: (n, 4) as the layout has them, class (n,), score (n,)."""

    boxes: Floats
    classes: NDArray[np.int64]
    scores: Floats


class Answered(NamedTuple):
    """Detections, and for each the number of the box that it is among the network's."""

    detections: Detections
    numbers: NDArray[np.int64]


def boxes_answered(recipe: Recipe, arrays: Arrays, placing: Placing, threshold: float) -> Answered:
    """Detections of at least `threshold`, in pixels of the frame, best first.

    1. every score is a probability;
    2. of those at least `threshold`: the class is one of the recipe's;
    3. those of good classes go, before overlaps are looked for: nothing good hides a defect;
    4. corners are in order and near the input;
    5. overlaps are merged, whether or not the network merged them itself;
    6. each box lies on the frame, at least in part.

    Raises Unavailable (INFERENCE).
    """
    given = recipe.picture_output
    boxes, classes, scores = _READ[given.layout](arrays, given)
    scores = probabilities(scores)  # 1
    numbers = np.flatnonzero(scores >= threshold)
    boxes, classes, scores = boxes[numbers], classes[numbers], scores[numbers]
    if len(classes) and not bool(((classes >= 0) & (classes < len(recipe.classes))).all()):  # 2
        raise implausible(f"classes 0 to {len(recipe.classes) - 1}", int(classes.max()))
    bad = np.isin(classes, [i for i, c in enumerate(recipe.classes) if c in recipe.defects])  # 3
    boxes, classes, scores, numbers = boxes[bad], classes[bad], scores[bad], numbers[bad]
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    corners = _corners(boxes[order], given, placing)  # 4
    classes, scores, numbers = classes[order], scores[order], numbers[order]
    keep_ = suppressed(corners, given.overlap)[:MAX_DETECTIONS]  # 5
    placed = placing.boxes(corners[keep_])
    h, w = placing.size
    inside = (placed[:, 2] > 0) & (placed[:, 3] > 0) & (placed[:, 0] < w) & (placed[:, 1] < h)
    if not bool(inside.all()):  # 6
        raise implausible("boxes on the frame", placed[~inside][0].round(1).tolist())
    clipped = np.clip(placed, 0, (w, h, w, h)).astype(np.float32)
    return Answered(Detections(clipped, classes[keep_], scores[keep_]), numbers[keep_])


def probabilities(scores: Floats) -> Floats:
    """`scores` where they are probabilities, rounding taken off. Raises Unavailable (INFERENCE)."""
    if scores.size:
        least, most = float(scores.min()), float(scores.max())
        if not (least >= -SCORE_ROUNDING and most <= 1 + SCORE_ROUNDING):
            raise implausible("scores from 0 to 1", f"{least:.4g} to {most:.4g}")
    return np.asarray(np.clip(scores, 0, 1), np.float32)


def activated(values: NDArray[Any], activation: str, axis: int) -> Floats:
    """`values` through `activation`: none, sigmoid, or softmax over `axis`."""
    numbers = values.astype(np.float64)
    if activation == "sigmoid":
        numbers = 1 / (1 + np.exp(-np.clip(numbers, -60, 60)))
    elif activation == "softmax":
        raised = np.exp(numbers - numbers.max(axis=axis, keepdims=True))
        numbers = raised / raised.sum(axis=axis, keepdims=True)
    return np.asarray(numbers, np.float32)


def implausible(expected: str, came: object) -> Unavailable:
    """That a network's answer cannot be meant."""
    hint = "is its layout the recipe's? Import it again, and look at the first results"
    return Unavailable.of(Reason.INFERENCE, f"{expected} from the model", came, hint)


def _best(boxes: NDArray[Any], scores: Floats) -> Candidates:
    """Each box with its best class."""
    classes = scores.argmax(axis=1).astype(np.int64) if len(scores) else np.zeros(0, np.int64)
    best = scores[np.arange(len(scores)), classes] if len(scores) else np.zeros(0, np.float32)
    return Candidates(np.asarray(boxes, np.float32), classes, best)


def _rows_with_objectness(arrays: Arrays, given: Output) -> Candidates:
    rows = arrays[0][0]
    scores = activated(rows[:, 4:], given.activation, 1)
    # both are probabilities before they are multiplied: two that are none could make one
    return _best(rows[:, :4], probabilities(scores[:, 1:]) * probabilities(scores[:, :1]))


def _columns(arrays: Arrays, given: Output) -> Candidates:
    rows = arrays[0][0].T
    return _best(rows[:, :4], activated(rows[:, 4:], given.activation, 1))


def _masked_rows_with_objectness(arrays: Arrays, given: Output) -> Candidates:
    return _rows_with_objectness((arrays[0][:, :, :-MASK_NUMBERS],), given)


def _masked_columns(arrays: Arrays, given: Output) -> Candidates:
    return _columns((arrays[0][:, :-MASK_NUMBERS],), given)


def _suppressed_rows(arrays: Arrays, given: Output) -> Candidates:
    rows = arrays[0][0]
    return Candidates(rows[:, :4], _whole(rows[:, 5]) - given.first_label, rows[:, 4])


def _numbered_rows(arrays: Arrays, given: Output) -> Candidates:
    rows = arrays[0]
    if bool((rows[:, 0] != 0).any()):
        raise implausible("rows of image 0", float(rows[:, 0].max()))
    return Candidates(rows[:, 1:5], _whole(rows[:, 5]) - given.first_label, rows[:, 6])


def _queries(arrays: Arrays, given: Output) -> Candidates:
    scores = activated(arrays[0][0], given.activation, 1)
    return _best(arrays[1][0], scores[:, :-1])  # the last class is nothing


def _sigmoid_queries(arrays: Arrays, given: Output) -> Candidates:
    return _best(arrays[1][0], activated(arrays[0][0], given.activation, 1))


def _apart(arrays: Arrays, given: Output) -> Candidates:
    boxes, scores, labels = arrays[0].reshape(-1, 4), arrays[1].reshape(-1), arrays[2].reshape(-1)
    if not len(boxes) == len(scores) == len(labels):
        came = f"{len(boxes)}, {len(scores)}, {len(labels)}"
        raise implausible("as many boxes as scores and classes", came)
    return Candidates(
        np.asarray(boxes, np.float32),
        _whole(labels) - given.first_label,
        np.asarray(scores, np.float32),
    )


def _counted(arrays: Arrays, given: Output) -> Candidates:
    whole = _apart(arrays[1:], given)
    number = int(_whole(arrays[0].reshape(-1))[0])
    if not 0 <= number <= len(whole.scores):
        raise implausible(f"0 to {len(whole.scores)} boxes", number)
    return Candidates(whole.boxes[:number], whole.classes[:number], whole.scores[:number])


_READ: Final[Mapping[str, Callable[[Arrays, Output], Candidates]]] = {
    "yolov5": _rows_with_objectness,
    "yolov8": _columns,
    "yolov10": _suppressed_rows,
    "yolov5-seg": _masked_rows_with_objectness,
    "yolov8-seg": _masked_columns,
    "yolov10-seg": _suppressed_rows,
    "yolov7-nms": _numbered_rows,
    "detr": _queries,
    "detr-sigmoid": _sigmoid_queries,
    "boxes-scores-labels": _apart,
    "counted": _counted,
}


def _whole(values: NDArray[Any]) -> NDArray[np.int64]:
    """Numbers that count something: whole ones, however they are typed."""
    whole = np.rint(np.clip(values, -(2**31), 2**31)).astype(np.int64)
    if len(values) and bool((whole != values).any()):
        raise implausible("whole numbers as classes", float(values[whole != values][0]))
    return np.asarray(whole, np.int64)


def _corners(boxes: Floats, given: Output, placing: Placing) -> Floats:
    """x1 y1 x2 y2 in pixels of the input."""
    numbers = boxes.astype(np.float64).reshape(-1, 4)
    if given.box == "cxcywh":
        centre, half = numbers[:, :2], numbers[:, 2:] / 2
        numbers = np.concatenate([centre - half, centre + half], axis=1)
    elif given.box == "yxyx":
        numbers = numbers[:, [1, 0, 3, 2]]
    h, w = placing.sides
    if given.units == "fractions":
        numbers = numbers * (w, h, w, h)
    reach = MAX_OUTSIDE * np.array([w, h, w, h], np.float64)
    ordered = (numbers[:, :2] <= numbers[:, 2:]).all(axis=1)
    near = ((numbers >= -reach) & (numbers <= 2 * reach)).all(axis=1)
    if not bool((ordered & near).all()):
        which = int(np.nonzero(~(ordered & near))[0][0])
        came = numbers[which].round(1).tolist()
        raise implausible(f"corners in order, near {w}x{h} pixels", came)
    return np.asarray(numbers, np.float32)
