"""A frame turned, and what is detected in it turned back."""

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from framegate_gateway.inference.asked_again import (
    MAX_MOVED_PX,
    MIN_MOVED_PX,
    Turn,
    drawn_turn,
    turned,
    turned_back,
)
from framegate_gateway.inference.detections import Detections

SIZE = (60, 90)
turns = st.builds(Turn, st.booleans(), st.booleans(), st.integers(-7, 7), st.integers(-7, 7))


@given(turns, st.integers(10, 70), st.integers(10, 40))
def test_a_spot_is_where_it_was_once_it_is_turned_back(turn, x, y):
    tensor = np.zeros((1, 2, 64, 96), np.float32)
    tensor[:, :, y : y + 6, x : x + 8] = 1
    shown = turned(tensor, turn, SIZE)
    assert shown.shape == tensor.shape
    assert np.array_equal(shown[:, :, 60:], tensor[:, :, 60:])
    rows, columns = np.nonzero(shown[0, 0])
    box = np.float32([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
    there = Detections(box, np.int64([0]), np.float32([0.9]))
    back = turned_back(there, turn, SIZE)
    assert back.boxes.tolist() == [[x, y, x + 8, y + 6]]


def test_a_turn_by_chance_is_never_the_frame_itself():
    drawn = {drawn_turn(Random(seed)) for seed in range(400)}  # noqa: S311 - no secret
    assert len(drawn) > 200
    for turn in drawn:
        assert MIN_MOVED_PX <= abs(turn.x) <= MAX_MOVED_PX
        assert MIN_MOVED_PX <= abs(turn.y) <= MAX_MOVED_PX


def test_nothing_turned_back_is_nothing():
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert len(turned_back(none, Turn(True, False, 2, 2), SIZE)) == 0
