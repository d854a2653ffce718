"""Accuracy as it is counted."""

import numpy as np
import pytest

from framegate_gateway.inference.detections import Detections
from framegate_models.accuracy import (
    Truth,
    average_precision,
    best_threshold,
    confusion,
    pooled_matches,
    precision_recall,
    score,
)
from framegate_simulators.boards.boards import CLASSES


def detections(*rows) -> Detections:
    return Detections(
        np.array([r[:4] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[4] for r in rows], np.int64),
        np.array([r[5] for r in rows], np.float32),
    )


def truth(*rows) -> Truth:
    return Truth(
        np.array([r[:4] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[4] for r in rows], np.int64),
    )


def test_a_true_box_takes_the_first_unused_box_of_any_class_and_only_then_is_the_class_compared():
    one = truth((0, 0, 30, 30, 0), (2, 2, 32, 32, 1))
    said = detections((1, 1, 31, 31, 1, 0.9), (0, 0, 30, 30, 0, 0.8))
    # the first true box takes the better-scored box of the other class; the second is left with the
    # wrong one
    assert pooled_matches(one, said) == [(pytest.approx(0.9), False), (pytest.approx(0.8), False)]
    assert score([one], [said], CLASSES, 0.5).class_ap["open"] == 1.0, (
        "the class-aware rule forgives it"
    )
    assert pooled_matches(
        truth((0, 0, 30, 30, 0)), detections((0, 0, 30, 30, 0, 0.9), (0, 0, 30, 30, 0, 0.8))
    ) == [(pytest.approx(0.9), True), (pytest.approx(0.8), False)]


def test_average_precision_is_not_interpolated():
    assert average_precision([(0.9, True), (0.8, False), (0.7, True)], 2) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert average_precision([], 3) == 0.0 and average_precision([(0.5, True)], 4) == 0.25


def test_overlap_of_a_third_is_not_enough_and_half_is_for_the_strict_rule():
    one = truth((0, 0, 30, 30, 2))
    near, far = detections((0, 0, 30, 15, 2, 0.9)), detections((0, 20.2, 30, 50.2, 2, 0.9))
    assert (
        score([one], [near], CLASSES, 0.5).f == 1.0 and score([one], [far], CLASSES, 0.5).f == 0.0
    )
    assert (
        score([one], [near], CLASSES, 0.5).class_ap_strict["mousebite"] == 0.0
    )  # exactly one half is not above it


def test_confusions_good_images_and_the_best_threshold():
    truths = [truth((0, 0, 30, 30, 0), (100, 100, 130, 130, 1)), truth()]
    said = [detections((0, 0, 30, 30, 2, 0.9)), detections((50, 50, 80, 80, 4, 0.3))]
    table = confusion(truths, said, 6)
    assert table[0, 2] == 1 and table[1, 6] == 1 and table[6, 4] == 1 and table.sum() == 3
    figures = score(truths, said, CLASSES, 0.5)
    assert (
        figures.good_images,
        figures.good_images_flagged,
        figures.bad_images,
        figures.bad_images_missed,
    ) == (1, 0, 1, 0)
    assert score(truths, said, CLASSES, 0.2).good_images_flagged == 1
    sure = [detections((0, 0, 30, 30, 0, 0.8), (300, 300, 330, 330, 0, 0.6)), detections()]
    assert 0.6 < best_threshold(truths, sure) <= 0.8
    assert precision_recall(truths, sure).shape == (2, 3) and precision_recall(
        [truth()], [detections()]
    ).shape == (0, 3)
