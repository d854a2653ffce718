"""Golden images learnt from good frames."""

import cv2
import numpy as np
import pytest

from framegate.errors import Malformed, Refused
from framegate.signed.part import MIN_LESSON
from framegate_agent.camera.pictures import encoded
from framegate_gateway.inference.learning import learn_golden
from framegate_gateway.inference.registration import reference, register
from framegate_simulators.boards.boards import draw_board
from support.boards import moved

pytestmark = pytest.mark.slow

BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


def good(seed: int, dx: float = 0.0, dy: float = 0.0) -> bytes:
    return encoded(moved(draw_board(seed, design=1, defects=0, clean_capture=True).frame, dx, dy))


def test_a_golden_image_is_learnt_from_good_frames_a_foreign_one_left_out():
    frames = [good(n, n % 3, -(n % 2)) for n in range(8)]
    frames.insert(2, encoded(draw_board(1, design=44, defects=0, clean_capture=True).frame))
    png, facts = learn_golden(frames)
    assert facts["used"] == 8 and facts["left_out"] == [2] and facts["differing_share"] < 0.08
    learnt = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert register(reference(learnt), BOARD.golden).likeness > 0.9


def test_one_defect_among_good_frames_is_not_in_what_is_learnt():
    frames = [good(n) for n in range(6)] + [encoded(BOARD.frame)]
    with_defect, _ = learn_golden(frames)
    without, _ = learn_golden(frames[:6])
    a, b = (
        cv2.imdecode(np.frombuffer(p, np.uint8), cv2.IMREAD_GRAYSCALE)
        for p in (with_defect, without)
    )
    assert float((cv2.absdiff(a, register(reference(b), a).golden) > 40).mean()) < 0.02


@pytest.mark.parametrize(
    ("frames", "error"),
    [(lambda: [good(1)] * (MIN_LESSON - 1), Refused), (lambda: [b"x"] * 6, Malformed)],
)
def test_golden_images_are_not_learnt_from_too_little_or_nothing(frames, error):
    with pytest.raises(error):
        learn_golden(frames())


def test_frames_that_do_not_agree_teach_nothing():
    with pytest.raises(Refused, match="show the same part"):
        learn_golden(
            [
                encoded(draw_board(0, design=d, defects=0, clean_capture=True).frame)
                for d in range(100, 106)
            ]
        )


def test_n126_a_lesson_of_huge_frames_is_refused_before_any_is_decoded():
    flat = np.zeros((4096, 4096), np.uint8)
    bomb = cv2.imencode(".png", flat, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    with pytest.raises(Refused, match="pixels together"):
        learn_golden([bomb] * MIN_LESSON)
    with pytest.raises(Malformed):
        learn_golden([b"no image"] * MIN_LESSON)
