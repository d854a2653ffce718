"""How well boxes match the truth: pooled average precision, class-aware precision, recall and F, and false alarms on good boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from framegate_gateway.inference.detections import Detections, iou
from framegate_simulators.boards import CLASSES, Board

MIN_IOU: Final = 0.33
"""Overlap that counts as a hit, as in the DeepPCB paper (Tang et al. 2019)."""


@dataclass(frozen=True, slots=True)
class Score:
    """Figures over a set of boards; precisions and recalls in [0, 1]."""

    average_precision: dict[str, float]
    mean_average_precision: float
    precision: float
    recall: float
    f1: float
    good_boards: int
    good_boards_flagged: int
    bad_boards: int
    bad_boards_missed: int

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON values, rounded to four digits."""
        rounded = {k: round(v, 4) for k, v in self.average_precision.items()}
        return {
            "map_iou33": round(self.mean_average_precision, 4),
            "ap_iou33": rounded,
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "f1": round(self.f1, 4),
            "good_boards": self.good_boards,
            "good_boards_flagged": self.good_boards_flagged,
            "bad_boards": self.bad_boards,
            "bad_boards_missed": self.bad_boards_missed,
        }


def score_detections(results: Sequence[tuple[Board, Detections]], threshold: float) -> Score:
    """Class-aware scores at `MIN_IOU`; precision, recall, F and flagged boards at `threshold`."""
    rows: list[tuple[int, float, bool]] = []
    truth = np.zeros(len(CLASSES), int)
    good = flagged = bad = missed = 0
    for board, found in results:
        boxes = np.array([(d.x1, d.y1, d.x2, d.y2) for d in board.defects], np.float32).reshape(-1, 4)
        kinds = np.array([CLASSES.index(d.kind) for d in board.defects], int)
        np.add.at(truth, kinds, 1)
        used = np.zeros(len(boxes), bool)
        alarm = bool((found.scores >= threshold).any())
        if len(boxes):
            bad, missed = bad + 1, missed + (not alarm)
        else:
            good, flagged = good + 1, flagged + alarm
        for box, kind, score in zip(found.boxes, found.classes, found.scores, strict=True):
            overlap = np.where(used | (kinds != kind), 0, iou(box, boxes)) if len(boxes) else np.zeros(0)
            hit = len(overlap) > 0 and float(overlap.max()) > MIN_IOU
            if hit:
                used[int(overlap.argmax())] = True
            rows.append((int(kind), float(score), hit))
    precision_of = {name: _average_precision([(s, h) for k, s, h in rows if k == i], int(truth[i])) for i, name in enumerate(CLASSES)}
    kept = [h for _, s, h in rows if s >= threshold]
    hits = sum(kept)
    precision, recall = hits / max(len(kept), 1), hits / max(int(truth.sum()), 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return Score(precision_of, float(np.mean(list(precision_of.values()))), precision, recall, f1, good, flagged, bad, missed)


def _average_precision(rows: list[tuple[float, bool]], total: int) -> float:
    hits, area = 0, 0.0
    for rank, (_, hit) in enumerate(sorted(rows, key=lambda r: -r[0]), start=1):
        if hit:
            hits += 1
            area += hits / rank
    return area / max(total, 1)
