"""A frame turned, and what is detected in it turned back."""

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from framegate_gateway.inference.asked_again import (
    MAX_MOVED_PX,
    MIN_MOVED_PX,
    PIECE_PX,
    RIM_PX,
    Turn,
    asked_again,
    drawn_turn,
    piece_around,
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


sides = st.integers(24, 700)


@given(st.tuples(sides, sides), st.floats(-50, 750), st.floats(-50, 750))
def test_a_piece_lies_in_its_frame_whatever_is_asked_for(size, x, y):
    piece = piece_around(x, y, size)
    assert 0 <= piece.top <= piece.top + piece.height <= size[0]
    assert 0 <= piece.left <= piece.left + piece.width <= size[1]
    assert (piece.height, piece.width) == tuple(min(PIECE_PX, side) for side in size)
    tensor = np.zeros((1, 2, *(-(-side // 32) * 32 for side in size)), np.float32)
    assert all(side % 32 == 0 for side in piece.of(tensor).shape[2:])


@given(st.integers(0, 639), st.integers(0, 479), st.integers(0, 9999))
def test_what_the_network_says_of_a_piece_is_told_where_it_is_in_the_frame(x, y, seed):
    tensor = np.zeros((1, 2, 480, 640), np.float32)
    tensor[0, 0, y, x] = 1

    def ask(shown):
        (rows, columns) = np.nonzero(shown[0, 0])
        if not len(rows):
            return Detections(np.zeros((0, 4), np.float32), np.int64([]), np.float32([]))
        box = [columns.min(), rows.min(), columns.min() + 1, rows.min() + 1]
        return Detections(np.float32([box]), np.int64([1]), np.float32([0.9]))

    said = asked_again(tensor, piece_around(x, y, (480, 640)), ask, Random(seed))  # noqa: S311
    near_edge = min(x, y, 639 - x, 479 - y) < 2 * MAX_MOVED_PX
    assert len(said) == 1 or near_edge
    if len(said) and not near_edge:
        assert said.boxes.tolist() == [[x, y, x + 1, y + 1]]


def at(piece, x, y):
    box = np.float32([[x - 1, y - 1, x + 1, y + 1]])
    return len(piece.whole(Detections(box, np.int64([0]), np.float32([0.9]))))


def test_what_is_detected_in_the_rim_of_a_piece_does_not_count():
    """But along the frame's own edge, which the network saw the first time, too."""
    inner, corner = piece_around(320, 320, (640, 640)), piece_around(0, 0, (640, 640))
    small = piece_around(50, 50, (100, 100))
    for near in (1, RIM_PX - 1):
        assert not at(inner, near, 128) and not at(inner, 128, PIECE_PX - near)
        assert at(corner, near, 128) and not at(corner, PIECE_PX - near, 128)
        assert at(small, near, 50) and at(small, 50, 100 - near)
    assert at(inner, RIM_PX, RIM_PX) and at(inner, 128, 128)
