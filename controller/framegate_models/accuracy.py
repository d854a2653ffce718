"""How well boxes match the truth.

Two rules side by side. *DeepPCB's protocol*: in each image each true box, in file order, takes the
first unused detection (best score first) of any class whose overlap is above 0.33, and only then is
the class compared; one average precision over all classes and images, not interpolated; precision,
recall and F at the bundle's threshold. *Class-aware*: per class, detections of all images in order
of score, each taking the best unused true box of its class. Source: Tang et al., arXiv:1902.06197,
and its evaluation script's rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.detections import Detections, iou

MIN_IOU: Final = 0.33
"""Overlap that counts as a hit, as in the DeepPCB paper."""
STRICT_IOU: Final = 0.5


@dataclass(frozen=True, slots=True)
class Truth:
    """True boxes (n, 4) and kinds (n,) of one image."""

    boxes: NDArray[np.float32]
    kinds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """Figures over a set of images, in [0, 1].

    `pooled_ap`, `precision`, `recall`, `f` by DeepPCB's protocol; `class_ap` and `class_ap_strict`
    per class at IoU 0.33 and 0.50; `confusion` (classes + 1, classes + 1): rows the truth, columns
    what was said at the threshold, the last row and column are "nothing".
    """

    classes: tuple[str, ...]
    threshold: float
    images: int
    defects: int
    pooled_ap: float
    precision: float
    recall: float
    f: float
    class_ap: dict[str, float]
    class_ap_strict: dict[str, float]
    confusion: NDArray[np.int64]
    good_images: int
    good_images_flagged: int
    bad_images: int
    bad_images_missed: int

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values, rounded to four digits. `map` and `f` are DeepPCB's own
        figures.
        """
        return {
            "images": self.images,
            "defects": self.defects,
            "threshold": self.threshold,
            "map": round(self.pooled_ap, 4),
            "f": round(self.f, 4),
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "class_ap_iou33": {k: round(v, 4) for k, v in self.class_ap.items()},
            "class_map_iou33": round(_mean(self.class_ap), 4),
            "class_ap_iou50": {k: round(v, 4) for k, v in self.class_ap_strict.items()},
            "class_map_iou50": round(_mean(self.class_ap_strict), 4),
            "confusion": {
                "classes": [*self.classes, "nothing"],
                "rows_are": "truth",
                "counts": self.confusion.tolist(),
            },
            "good_images": self.good_images,
            "good_images_flagged": self.good_images_flagged,
            "bad_images": self.bad_images,
            "bad_images_missed": self.bad_images_missed,
        }


def score(
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    classes: tuple[str, ...],
    threshold: float,
) -> Score:
    """Figures of detections against truths, image by image in the same order."""
    rows = [
        row
        for truth, boxes in zip(truths, detections, strict=True)
        for row in pooled_matches(truth, boxes)
    ]
    total = sum(len(t.kinds) for t in truths)
    kept = [
        hit
        for truth, boxes in zip(truths, detections, strict=True)
        for _, hit in pooled_matches(truth, at_least(boxes, threshold))
    ]
    hits = sum(kept)
    precision, recall = hits / max(len(kept), 1), hits / max(total, 1)
    flagged = [bool((boxes.scores >= threshold).any()) for boxes in detections]
    good = [len(t.kinds) == 0 for t in truths]
    return Score(
        classes,
        threshold,
        len(truths),
        total,
        average_precision(rows, total),
        precision,
        recall,
        2 * precision * recall / max(precision + recall, 1e-9),
        {name: class_ap(truths, detections, k, MIN_IOU) for k, name in enumerate(classes)},
        {name: class_ap(truths, detections, k, STRICT_IOU) for k, name in enumerate(classes)},
        confusion(truths, [at_least(boxes, threshold) for boxes in detections], len(classes)),
        sum(good),
        sum(g and f for g, f in zip(good, flagged, strict=True)),
        len(good) - sum(good),
        sum(not g and not f for g, f in zip(good, flagged, strict=True)),
    )


def best_threshold(truths: Sequence[Truth], detections: Sequence[Detections]) -> float:
    """The threshold, in hundredths, with the best F by DeepPCB's protocol; the middle of those that
    share it.
    """
    total, best, at = sum(len(t.kinds) for t in truths), -1.0, [0.5]
    for hundredth in range(10, 90):
        kept = [
            hit
            for truth, boxes in zip(truths, detections, strict=True)
            for _, hit in pooled_matches(truth, at_least(boxes, hundredth / 100))
        ]
        f = 2 * sum(kept) / max(len(kept) + total, 1)
        if f > best + 1e-9:
            best, at = f, []
        if f >= best - 1e-9:
            at.append(hundredth / 100)
    return at[len(at) // 2]


def at_least(detections: Detections, threshold: float) -> Detections:
    """Those detections that score `threshold` or more."""
    keep = detections.scores >= threshold
    return Detections(detections.boxes[keep], detections.classes[keep], detections.scores[keep])


def pooled_matches(truth: Truth, detections: Detections) -> list[tuple[float, bool]]:
    """(score, whether right) of each detection of one image, by DeepPCB's protocol."""
    right = np.zeros(len(detections), bool)
    for kind, taken in zip(truth.kinds, takers(truth, detections)[0], strict=True):
        if taken is not None:
            right[taken] = detections.classes[taken] == kind
    return [(float(s), bool(r)) for s, r in zip(detections.scores, right, strict=True)]


def confusion(
    truths: Sequence[Truth], detections: Sequence[Detections], classes: int
) -> NDArray[np.int64]:
    """Counts (classes + 1, classes + 1) by the same matching: truth by row, detection by column,
    "nothing" last.
    """
    table = np.zeros((classes + 1, classes + 1), np.int64)
    for truth, boxes in zip(truths, detections, strict=True):
        taken_by, used = takers(truth, boxes)
        for kind, taken in zip(truth.kinds, taken_by, strict=True):
            table[kind, classes if taken is None else boxes.classes[taken]] += 1
        np.add.at(table[classes], boxes.classes[~used], 1)
    return table


def class_ap(
    truths: Sequence[Truth], detections: Sequence[Detections], kind: int, least: float
) -> float:
    """Average precision of one class at overlap above `least`; 1.0 where neither truth nor
    detections have it.
    """
    rows: list[tuple[float, bool]] = []
    total = 0
    for truth, boxes in zip(truths, detections, strict=True):
        mine = truth.boxes[truth.kinds == kind]
        total += len(mine)
        used = np.zeros(len(mine), bool)
        for box, kind_said, value in zip(boxes.boxes, boxes.classes, boxes.scores, strict=True):
            if kind_said != kind:
                continue
            overlap = np.where(used, 0, iou(box, mine)) if len(mine) else np.zeros(0)
            hit = len(overlap) > 0 and float(overlap.max()) > least
            if hit:
                used[int(overlap.argmax())] = True
            rows.append((float(value), hit))
    return 1.0 if total == 0 and not rows else average_precision(rows, total)


def average_precision(rows: Sequence[tuple[float, bool]], total: int) -> float:
    """Mean over `total` true boxes of the precision at each hit, detections in order of falling
    score; not interpolated.
    """
    hits, area = 0, 0.0
    for rank, (_, hit) in enumerate(sorted(rows, key=lambda r: -r[0]), start=1):
        if hit:
            hits += 1
            area += hits / rank
    return area / max(total, 1)


def precision_recall(
    truths: Sequence[Truth], detections: Sequence[Detections]
) -> NDArray[np.float64]:
    """(n, 3): recall, precision and score after each detection in order of falling score,
    pooled.
    """
    rows = sorted(
        (
            row
            for truth, boxes in zip(truths, detections, strict=True)
            for row in pooled_matches(truth, boxes)
        ),
        key=lambda r: -r[0],
    )
    hits = np.cumsum([hit for _, hit in rows]).astype(float)
    ranks = np.arange(1, len(rows) + 1)
    total = max(sum(len(t.kinds) for t in truths), 1)
    return np.stack(
        [hits / total, hits / np.maximum(ranks, 1), np.array([s for s, _ in rows])], 1
    ).reshape(-1, 3)


def takers(truth: Truth, detections: Detections) -> tuple[list[int | None], NDArray[np.bool_]]:
    """By DeepPCB's protocol: for each true box the detection it takes, None where there is none;
    and which detections (n,) are taken.
    """
    used = np.zeros(len(detections), bool)
    rows: list[int | None] = []
    for box in truth.boxes:
        free = (
            np.nonzero(~used & (iou(box, detections.boxes) > MIN_IOU))[0]
            if len(detections)
            else np.zeros(0, int)
        )
        rows.append(int(free[0]) if len(free) else None)
        if len(free):
            used[free[0]] = True
    return rows, used


def _mean(values: dict[str, float]) -> float:
    return float(np.mean(list(values.values()))) if values else 0.0
