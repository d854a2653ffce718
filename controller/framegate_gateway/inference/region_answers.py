"""What classifiers, segmenting networks and anomaly models say, as detections in the frame.

A frame passes where the good classes have the probability, not where no defect has enough: a
network that cannot tell is no witness for a part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.answers import MAX_DETECTIONS
from framegate_gateway.inference.box_answers import activated, implausible, probabilities
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.picture_input import Floats, Placing
from framegate_gateway.inference.recipe import Recipe

MAX_REGIONS: Final = 50_000
"""Connected regions of a map that are looked at: one of four megapixels that is nothing but specks
has more, and no part looks like that.
"""
SUM_ROUNDING: Final = 0.02
"""By how much probabilities that share one may miss it: quantised networks round."""
Arrays = Sequence[NDArray[Any]]
Ignored = Sequence[Any]
"""Polygons, fractions of width and height, in which nothing is a defect."""


def frame_answered(
    recipe: Recipe, arrays: Arrays, placing: Placing, threshold: float
) -> Detections:
    """A classifier's answer: a defect of the whole frame, or none. Where classes share one
    probability, its score is what the good ones leave; else each class has its own.

    Raises Unavailable (INFERENCE) for numbers that are no probabilities.
    """
    given = recipe.picture_output
    scores = probabilities(activated(arrays[0].reshape(-1), given.activation, 0))
    rows = _defect_scores(recipe, scores[:, None, None])
    whole = np.array([[0, 0, placing.size[1], placing.size[0]]], np.float32)
    best = [(k, float(v.max())) for k, v in rows.items() if float(v.max()) >= threshold]
    best.sort(key=lambda one: -one[1])
    return Detections(
        np.repeat(whole, len(best), axis=0),
        np.array([k for k, _ in best], np.int64),
        np.array([s for _, s in best], np.float32),
    )


def segments_answered(
    recipe: Recipe, arrays: Arrays, placing: Placing, threshold: float, ignored: Ignored
) -> Detections:
    """A segmenting network's answer: each connected region of a class that is a defect, with the
    box around it and its best score. Raises Unavailable (INFERENCE).
    """
    given = recipe.picture_output
    if given.layout == "labels":
        labels = arrays[0].reshape(arrays[0].shape[-2:])
        if bool((labels < 0).any() or (labels >= len(recipe.classes)).any()):
            raise implausible(f"classes 0 to {len(recipe.classes) - 1}", int(labels.max()))
        maps = np.stack([labels == k for k in range(len(recipe.classes))]).astype(np.float32)
    else:
        maps = arrays[0].reshape(arrays[0].shape[-3:])
        maps = probabilities(activated(maps, given.activation, 0))
    rows = _defect_scores(recipe, maps)
    return _regions(rows, placing, threshold, given.least_px, ignored)


class AnomalyScores(NamedTuple):
    """What an anomaly model says of a frame as a whole, in [0, 1]: its score, and its hottest
    place.
    """

    score: float
    hottest: float


def anomaly_scores(
    recipe: Recipe, arrays: Arrays, placing: Placing, ignored: Ignored = ()
) -> AnomalyScores:
    """Score and hottest place of a frame. Raises Unavailable (INFERENCE)."""
    heat = _ranged(recipe, arrays[-1].reshape(arrays[-1].shape[-2:]))
    hottest = float(_without(placing.map_of(heat), ignored).max())
    if recipe.picture_output.layout != "anomalib":
        return AnomalyScores(hottest, hottest)
    return AnomalyScores(float(_ranged(recipe, arrays[0].reshape(1))[0]), hottest)


def heat_of(recipe: Recipe, arrays: Arrays, placing: Placing) -> Floats:
    """The heat map (h, w) on the frame, in [0, 1], to be shown. Raises Unavailable (INFERENCE)."""
    return placing.map_of(_ranged(recipe, arrays[-1].reshape(arrays[-1].shape[-2:])))


def anomaly_answered(
    recipe: Recipe, arrays: Arrays, placing: Placing, threshold: float, ignored: Ignored
) -> Detections:
    """An anomaly model's answer: its hot regions, and the whole frame where the score alone says
    so. A low score does not cool a hot region. Raises Unavailable (INFERENCE).
    """
    given = recipe.picture_output
    heat = _ranged(recipe, arrays[-1].reshape(arrays[-1].shape[-2:]))
    # a part's threshold moves both: heat keeps its distance from the score's
    least = float(np.clip(given.heat_threshold + threshold - recipe.threshold, 1e-6, 1.0))
    hot = _regions({0: heat}, placing, least, given.least_px, ignored)
    score = anomaly_scores(recipe, arrays, placing, ignored).score
    if len(hot):
        # what the heat map alone found is a defect as much: a rule about scores must not drop it
        scores = np.maximum(hot.scores, np.float32(max(score, threshold)))
        return Detections(hot.boxes, hot.classes, scores)
    if score < threshold:
        return _nothing()
    whole = np.array([[0, 0, placing.size[1], placing.size[0]]], np.float32)
    return Detections(whole, np.zeros(1, np.int64), np.array([score], np.float32))


def _defect_scores(recipe: Recipe, maps: Floats) -> Mapping[int, Floats]:
    """For each class that is a defect, its score in each place of `maps` (classes, h, w).

    Classes that share one probability have to, and where the good ones have less than all, what is
    left is the likeliest defect's.
    """
    bad = [i for i, c in enumerate(recipe.classes) if c in recipe.defects]
    if recipe.picture_output.activation == "sigmoid":
        return {k: maps[k] for k in bad}
    total = maps.sum(axis=0)
    if bool((np.abs(total - 1) > SUM_ROUNDING).any()):
        came = f"{float(total.min()):.3g} to {float(total.max()):.3g}"
        raise implausible("probabilities that share one", came)
    good = [i for i, c in enumerate(recipe.classes) if c in recipe.good]
    left = np.clip(1 - maps[good].sum(axis=0), 0, 1)
    likeliest = np.array(bad)[maps[bad].argmax(axis=0)]
    return {k: np.where(likeliest == k, left, 0).astype(np.float32) for k in bad}


def _ranged(recipe: Recipe, values: NDArray[Any]) -> Floats:
    """Raw anomaly scores in [0, 1] by the recipe's range. What lies below it by more than its own
    width was never seen of this model, and is no sign of a good part.
    """
    given = recipe.picture_output
    low, high = given.range
    scores = (activated(values, given.activation, 0).astype(np.float64) - low) / (high - low)
    if float(scores.min()) < -1:
        raise implausible(f"scores near {low:g} to {high:g}", f"{float(values.min()):.4g}")
    return np.asarray(np.clip(scores, 0, 1), np.float32)


def _regions(
    maps: Mapping[int, Floats],
    placing: Placing,
    threshold: float,
    least_px: int,
    ignored: Ignored,
) -> Detections:
    boxes: list[list[float]] = []
    classes: list[int] = []
    scores: list[float] = []
    for kind, whole in maps.items():
        heat = _without(placing.map_of(whole), ignored)
        over = np.asarray(heat >= threshold, np.uint8)
        count, marks, stats, _ = cv2.connectedComponentsWithStats(over, connectivity=8)
        if count > MAX_REGIONS:
            raise implausible(f"at most {MAX_REGIONS} regions", count)
        best = np.zeros(count, np.float32)
        np.maximum.at(best, np.asarray(marks.ravel(), np.int64), heat.ravel())
        x, y = placing.size[1] / heat.shape[1], placing.size[0] / heat.shape[0]
        for mark in range(1, count):
            left, top, wide, high, area = (int(v) for v in stats[mark])
            if area >= least_px:
                boxes.append([left * x, top * y, (left + wide) * x, (top + high) * y])
                classes.append(kind)
                scores.append(float(best[mark]))
    order = np.argsort(-np.array(scores, np.float32), kind="stable")[:MAX_DETECTIONS]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4)[order],
        np.array(classes, np.int64)[order],
        np.array(scores, np.float32)[order],
    )


def _without(heat: Floats, ignored: Ignored) -> Floats:
    """`heat` cooled inside the polygons: by their area, so that a region that reaches out of one
    still counts where it does.
    """
    if not ignored:
        return heat
    height, width = heat.shape
    region = np.zeros(heat.shape, np.uint8)
    for polygon in ignored:
        corners = (np.array(polygon) * (width, height) * 16).round().astype(np.int32)
        cv2.fillPoly(region, [corners], 1, shift=4)
    return np.where(region, np.float32(0), heat)


def _nothing() -> Detections:
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
