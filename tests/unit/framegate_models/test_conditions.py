"""Frames under worse conditions than they were taken in."""

import numpy as np
import pytest

from framegate_models.conditions import Condition, blurred, inverted, turned, under, uneven
from framegate_models.sampling import LabelledPair

CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole", "stain")


def pair():
    frame = np.full((320, 320), 230, np.uint8)
    frame[100:120, 60:90] = 20  # one defect, dark on light
    box = np.array([[60, 100, 90, 120]], np.float32)
    return LabelledPair("one", np.full((320, 320), 230, np.uint8), frame, box, np.array([4]))


def dark_middle(frame):
    return np.argwhere(frame < 100).mean(0)[::-1]


@pytest.mark.parametrize("degrees", [0.5, -2.0, 10.0])
def test_a_turned_frames_boxes_follow_what_they_are_around(degrees):
    after = turned(pair(), degrees)
    middle = (after.boxes[0, :2] + after.boxes[0, 2:]) / 2
    assert np.abs(dark_middle(after.frame) + 0.5 - middle).max() < 1.0
    assert (after.boxes[0, 2:] - after.boxes[0, :2]).tolist() == pytest.approx([30, 20], abs=1e-3)


def test_only_the_frame_changes_and_each_condition_changes_it():
    before = pair()
    for condition in set(Condition) - {Condition.INVERTED}:
        after = under(condition, before, CLASSES)
        assert (after.golden == before.golden).all() and after.frame.dtype == np.uint8
        assert (after.frame == before.frame).all() == (condition is Condition.AS_TAKEN)
        assert after.kinds.tolist() == [4] and after.frame.shape == before.frame.shape
    assert (before.frame == pair().frame).all(), "the pair that was given stays as it was"


def test_levels_are_what_they_say():
    lit = uneven(pair(), 0.5).frame
    assert lit[5, 0] == 115 and lit[5, -1] == 230
    soft = blurred(pair(), 2.0).frame
    assert 100 < int(soft[110, 59]) < 150, "an edge's middle grey lies where the edge was"


def test_a_pair_without_defects_is_turned_too():
    empty = LabelledPair(
        "good", pair().golden, pair().frame, np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    )
    assert turned(empty).boxes.shape == (0, 4)


def test_in_the_other_polarity_too_much_is_too_little():
    before = pair()
    after = under(Condition.INVERTED, before, CLASSES)
    assert (after.golden == 25).all() and after.frame[110, 70] == 235
    assert after.kinds.tolist() == [5] and (after.boxes == before.boxes).all()
    again = inverted(after, CLASSES)
    assert (again.frame == before.frame).all() and again.kinds.tolist() == [4]
    several = LabelledPair("s", before.golden, before.frame, np.zeros((7, 4)), np.arange(7))
    assert inverted(several, CLASSES).kinds.tolist() == [1, 0, 3, 2, 5, 4, 6]
    assert inverted(several, ("open", "stain", "pin-hole") * 3).kinds.tolist()[:2] == [0, 1]
