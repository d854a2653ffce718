"""Figures of models that tell sound parts from others."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_models.anomaly_accuracy import (
    Judged,
    PixelCurve,
    Share,
    anomaly_accuracy,
    auroc,
    recall_at,
)

SCORES = st.lists(st.integers(0, 9).map(lambda v: v / 9), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_the_area_is_how_often_a_bad_one_has_the_higher_score(bad, good):
    by_hand = np.mean([(b > g) + (b == g) / 2 for b in bad for g in good])
    assert auroc(bad, good) == pytest.approx(by_hand)


@given(SCORES, SCORES, st.floats(0, 1))
def test_recall_is_at_a_score_that_no_more_good_ones_are_above(bad, good, rate):
    recall = recall_at(bad, good, rate)
    least = min([v for v in good if np.mean(np.array(good) > v) <= rate], default=max(good))
    assert recall == pytest.approx(np.mean(np.array(bad) > least))


def test_nothing_to_measure_on_is_no_figure():
    assert math.isnan(auroc([], [1.0])) and math.isnan(recall_at([1.0], [], 0.1))
    assert math.isnan(PixelCurve().area)
    figures = anomaly_accuracy([Judged("a", "", 0.1, False)], PixelCurve(), 0.01)
    assert figures.as_dict()["image_auroc"] is None and figures.as_dict()["classes"] == {}


@pytest.mark.parametrize(
    ("count", "of", "low", "high"), [(0, 10, 0, 0.278), (1, 100, 0.0018, 0.0545), (5, 5, 0.566, 1)]
)
def test_a_share_says_how_much_it_may_be_by_chance(count, of, low, high):
    assert Share(count, of).interval == pytest.approx((low, high), abs=1e-3)
    assert Share(0, 0).interval == (0.0, 1.0)


def test_pixels_and_kinds_of_defects():
    curve = PixelCurve()
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0], heat[1, 1] = 1.0, 0.5
    where = np.zeros((4, 4), bool)
    where[0, 0] = True
    curve.count(heat, where)
    assert curve.area == 1.0
    curve.count(heat * 0, where)
    assert 0.7 < curve.area < 0.8
    judged = [
        Judged("1", "", 0.1, False),
        Judged("2", "", 0.4, True),
        Judged("3", "crack", 0.5, True),
        Judged("4", "dent", 0.2, False),
    ]
    figures = anomaly_accuracy(judged, curve, 0.0)
    assert figures.good == Share(1, 2) and figures.bad == Share(1, 2)
    assert figures.classes["crack"].auroc == 1.0 and figures.classes["crack"].recall == 1.0
    assert figures.classes["dent"].auroc == 0.5 and figures.classes["dent"].recall == 0.0
    assert figures.image_auroc == 0.75 and "95 %" in str(figures.good)
