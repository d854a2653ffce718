"""Frames of an ordinary day."""

import cv2
import numpy as np
import pytest

from framegate.errors import Malformed
from framegate_gateway.inference.gate import golden_of
from framegate_simulators.boards.boards import draw_board
from support.boards import moved

pytestmark = pytest.mark.slow

BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


@pytest.mark.parametrize(
    "fault",
    [
        lambda i: i,
        lambda i: cv2.GaussianBlur(i, (0, 0), 1.2),
        lambda i: moved(i, 6.4, -3.3),
        lambda i: (i * 0.9 + 12).astype(np.uint8),
    ],
)
@pytest.mark.slow
def test_frames_of_an_ordinary_day_pass_the_gate(inspector, fault):
    inspector.prepare(fault(BOARD.frame), golden_of(BOARD.golden))
    for seed in range(20):
        board = draw_board(3_000_000 + seed, defects=14, clean_capture=True)
        inspector.prepare(board.frame, golden_of(board.golden), gate=seed != -1)


def test_a_moved_frame_is_judged_like_one_in_its_place(inspector):
    golden = golden_of(BOARD.golden)
    here, there = (
        inspector.inspect(BOARD.frame, golden),
        inspector.inspect(moved(BOARD.frame, 7, 4), golden),
    )
    assert len(here) >= 5 and abs(len(here) - len(there)) <= 1
    assert (
        float(
            np.median(
                np.abs(
                    np.sort(there.boxes[:, 0])[: len(here)]
                    - np.sort(here.boxes[:, 0])[: len(there)]
                    - 7
                )
            )
        )
        < 3
    )


def test_any_size_that_is_a_multiple_of_32_and_others_too(inspector):
    for side in (128, 160, 320, 333):
        detections = inspector.inspect(
            BOARD.frame[:side, :side].copy(),
            golden_of(BOARD.golden[:side, :side].copy()),
            gate=False,
        )
        assert (detections.boxes[:, 2] <= side + 40).all()
    with pytest.raises(Malformed, match="640x640"):
        inspector.prepare(BOARD.frame[:320], golden_of(BOARD.golden))
