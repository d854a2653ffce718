"""Drawn boards as a training set."""

import cv2
import numpy as np
import pytest

from framegate_models.dataset import read_pair, read_split
from framegate_simulators.boards.boards import CLASSES, draw_board
from framegate_simulators.boards.capture import capture, look
from framegate_simulators.boards.damage import classify
from framegate_simulators.boards.layout import draw_design
from framegate_simulators.boards.strokes import Stroke


def test_drawn_boards_are_a_set_in_deeppcbs_format(training_set):
    listed = read_split(training_set)
    assert (
        len(listed) == 10
        and listed[0].name == "05000000"
        and len(read_split(training_set, training_set / "trainval.txt")) == 10
    )
    for one, seed in zip(listed, range(5_000_000, 5_000_010), strict=True):
        pair, board = read_pair(one, CLASSES), draw_board(seed)
        assert pair.frame.shape == (640, 640) and [CLASSES[k] for k in pair.kinds] == [
            d.kind for d in board.defects
        ]


@pytest.mark.slow
def test_a_seed_draws_the_same_board_and_classes_are_what_the_stroke_leaves():
    rng = np.random.default_rng(3)
    copper = np.zeros((200, 200), np.uint8)
    cv2.rectangle(copper, (0, 40), (199, 60), 255, -1)
    cv2.rectangle(copper, (0, 100), (199, 120), 255, -1)

    def stroke(x1, y1, x2, y2, dark):
        return classify(copper, Stroke(np.ones((y2 - y1, x2 - x1), bool), x1, y1, dark))

    assert (
        stroke(90, 35, 96, 66, dark=False) == "open"
        and stroke(90, 35, 96, 50, dark=False) == "mousebite"
        and stroke(90, 47, 96, 54, dark=False) == "pin-hole"
    )
    assert (
        stroke(90, 55, 96, 105, dark=True) == "short"
        and stroke(90, 55, 96, 75, dark=True) == "spur"
        and stroke(90, 75, 96, 85, dark=True) == "copper"
    )
    assert stroke(90, 36, 97, 39, dark=False) == "", "nothing of it is on copper"
    for seed in (1, 2):
        assert (
            draw_design(np.random.default_rng(seed)) == draw_design(np.random.default_rng(seed))
        ).all()
    grey = capture(rng, copper, look(rng, thresholded=False), 0.5)
    assert (
        len(np.unique(capture(rng, copper, look(rng, thresholded=True), 0.5))) == 2
        and len(np.unique(grey)) > 40
    )
    assert {d.kind for s in range(60) for d in draw_board(s).defects} == set(CLASSES)
