"""Near duplicates and disputed labels."""

import numpy as np
import pytest

from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_models.evaluate import inspector_of, measure
from framegate_models.sampling import LabelledPair
from framegate_models.screening import label_outliers, near_duplicates
from framegate_simulators.boards.train import drawn_pair

pytestmark = pytest.mark.slow


def test_near_duplicates_are_found_and_different_boards_are_not():
    pairs = [drawn_pair(seed) for seed in range(12)]
    twin = pairs[3]
    noisy = np.clip(
        twin.frame.astype(int) + np.random.default_rng(1).integers(-9, 9, twin.frame.shape), 0, 255
    ).astype(np.uint8)
    twins = near_duplicates(
        [*pairs, LabelledPair("copy", twin.golden, noisy, twin.boxes, twin.kinds)]
    )
    assert [(t.first, t.second) for t in twins] == [(twin.name, "copy")]
    assert near_duplicates([]) == []


def test_labels_that_the_model_disputes_are_listed_the_others_are_not():
    inspector = inspector_of(load_bundle(DEFAULT_BUNDLE), 1)
    pairs = [drawn_pair(7_000_000 + seed) for seed in range(6)]
    honest = measure(inspector, pairs)
    sure = next(
        (n, i)
        for n, t in enumerate(honest.truths)
        for i in range(len(t.kinds))
        if _certain(honest, n, i)
    )
    poisoned = list(pairs)
    kinds = poisoned[sure[0]].kinds.copy()
    kinds[sure[1]] = (kinds[sure[1]] + 1) % 6
    p = poisoned[sure[0]]
    poisoned[sure[0]] = LabelledPair(p.name, p.golden, p.frame, p.boxes, kinds)
    listed = label_outliers(measure(inspector, poisoned))
    assert any(
        row["pair"] == p.name
        and row["box"] == p.boxes[sure[1]].tolist()
        and "the model says" in row["what"]
        for row in listed
    )
    assert len(listed) == len(label_outliers(honest)) + 1


def _certain(measured, n: int, i: int) -> bool:
    from framegate_gateway.inference.detections import iou

    boxes, truth_ = measured.detections[n], measured.truths[n]
    near = (iou(truth_.boxes[i], boxes.boxes) > 0.5) & (boxes.classes == truth_.kinds[i])
    return bool(near.any()) and float(boxes.scores[near].max()) > 0.95
