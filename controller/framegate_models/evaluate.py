"""Measuring a bundle on labelled pairs: accuracy by `accuracy`, and where the milliseconds of a
frame go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from framegate.errors import Reason, Refused
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.decoding import AS_STORED
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.gate import golden_of
from framegate_gateway.inference.graph import verify_network
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.session import new_session, runner
from framegate_models.accuracy import Score, Truth, score
from framegate_models.conditions import Condition, under
from framegate_models.dataset import Listed, read_pair
from framegate_models.sampling import LabelledPair

FLOOR: Final = 0.02
"""Detections below this calibrated score are not counted at all: average precision would hardly
notice them, and they are many.
"""
WARM_UP: Final = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """A bundle on a set: its score, the detections behind it, the median and 99th percentile of
    each stage in milliseconds, and what the quality gate would have refused.
    """

    score: Score
    truths: tuple[Truth, ...]
    detections: tuple[Detections, ...]
    names: tuple[str, ...]
    stages_ms: dict[str, tuple[float, float]]
    gated: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """As JSON: the score, `ms_per_frame` medians, `ms_p99`, and `would_be_refused` by
        reason.
        """
        return {
            **self.score.as_dict(),
            "ms_per_frame": {k: round(v[0], 2) for k, v in self.stages_ms.items()},
            "ms_p99": {k: round(v[1], 2) for k, v in self.stages_ms.items()},
            "would_be_refused": self.gated,
        }


def inspector_of(bundle: Bundle, threads: int = 2) -> Inspector:
    """A pair's model, looked at and loaded. Raises Malformed (MODEL, MODEL_GRAPH), Refused (MODEL)
    for another kind, of which pairs measure nothing.
    """
    if bundle.recipe.kind != Kind.PAIR:
        raise Refused.of(
            Reason.MODEL,
            "a bundle of the kind pair",
            bundle.recipe.kind.value,
            "other kinds are measured on folders of pictures: framegate-models import",
        )
    verify_network(bundle.model, bundle.recipe)
    return Inspector(bundle.recipe, runner(new_session(bundle.model, threads)))


def measure(
    inspector: Inspector,
    listed: Sequence[Listed | LabelledPair],
    *,
    threshold: float | None = None,
    condition: Condition = Condition.AS_TAKEN,
    said: Callable[[int, int], None] = lambda _a, _b: None,
) -> Measured:
    """Inspect every pair under `condition`, one at a time, and score it. A frame that the gate
    would refuse is inspected all the same, and counted. Raises Malformed or Unavailable (DATA_SET).
    """
    truths, detections, names = [], [], []
    times: dict[str, list[float]] = {
        "preprocess": [],
        "inference": [],
        "postprocess": [],
        "whole": [],
    }
    gated: dict[str, int] = {}
    classes = inspector.recipe.classes
    for number, one in enumerate(listed):
        taken = one if isinstance(one, LabelledPair) else read_pair(one, classes)
        pair = under(condition, taken, classes)
        golden = golden_of(pair.golden)
        encoded = cv2.imencode(".jpg", pair.frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        begun = time.perf_counter()
        cv2.imdecode(
            encoded, AS_STORED
        )  # the cost of decoding; what is judged is the frame as it lies on disk
        try:
            prepared = inspector.prepare(pair.frame, golden)
        except Refused as error:
            gated[error.reason.value] = gated.get(error.reason.value, 0) + 1
            prepared = inspector.prepare(pair.frame, golden, gate=False)
        ready = time.perf_counter()
        heat, geometry = inspector.maps(prepared.pair)
        ran = time.perf_counter()
        boxes = inspector.detections(heat[0], geometry[0], FLOOR)
        done = time.perf_counter()
        if number >= min(WARM_UP, len(listed) - 1):
            for name, value in zip(
                times, (ready - begun, ran - ready, done - ran, done - begun), strict=True
            ):
                times[name].append(1000 * value)
        truths.append(Truth(pair.boxes, pair.kinds))
        detections.append(boxes)
        names.append(pair.name)
        said(number + 1, len(listed))
    figures = score(
        truths, detections, classes, inspector.recipe.threshold if threshold is None else threshold
    )
    stages = {
        k: (float(np.median(v)), float(np.quantile(v, 0.99))) if v else (0.0, 0.0)
        for k, v in times.items()
    }
    return Measured(figures, tuple(truths), tuple(detections), tuple(names), stages, gated)
