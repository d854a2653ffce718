"""Registration of a frame on its golden image."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from framegate_gateway.inference.registration import MAX_SHIFT_PX, reference, register
from framegate_simulators.boards.boards import draw_board
from support.boards import moved

BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_registration_finds_a_shift_to_a_fraction_of_a_pixel(dx, dy):
    grey = cv2.GaussianBlur(BOARD.golden, (0, 0), 2.0)
    registration = register(reference(grey), moved(grey, dx, dy))
    assert (
        abs(registration.shift[0] - dx) < 0.35
        and abs(registration.shift[1] - dy) < 0.35
        and registration.likeness > 0.95
    )


def test_registration_takes_no_shift_that_helps_nothing():
    grey = cv2.GaussianBlur(BOARD.golden, (0, 0), 2.0)
    assert register(reference(grey), grey).shift == (0.0, 0.0)
    far = register(reference(grey), moved(grey, MAX_SHIFT_PX * 3, 0))
    assert max(map(abs, far.shift)) <= MAX_SHIFT_PX
    flat = np.full((640, 640), 200, np.uint8)
    assert (
        register(reference(flat), grey).likeness == 0.0
        and register(reference(grey), flat).likeness == 0.0
    )


def test_small_and_odd_images_are_registered_too():
    for h, w in ((33, 57), (2, 2), (64, 1), (101, 640)):
        image = np.random.default_rng(h).integers(0, 255, (h, w), np.uint8)
        assert register(reference(image), image).golden.shape == (h, w)
