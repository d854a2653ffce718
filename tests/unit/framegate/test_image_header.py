"""The size of an image, read from its header."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed
from framegate.image_header import image_size
from framegate.wire import ENCODING_JPEG, ENCODING_PNG
from support.engine import png_that_claims


@given(st.binary(max_size=300), st.sampled_from([ENCODING_JPEG, ENCODING_PNG, 0]))
def test_image_size_raises_only_our_errors(data, encoding):
    for raw in (data, b"\xff\xd8" + data, png_that_claims(3, 4)[:16] + data):
        try:
            assert len(image_size(raw, encoding)) == 2
        except Malformed:
            continue


@given(st.integers(1, 3000), st.integers(1, 300))
def test_image_size_of_real_images(width, height):
    image = np.zeros((height, width), np.uint8)
    assert image_size(cv2.imencode(".jpg", image)[1].tobytes(), ENCODING_JPEG) == (width, height)
    assert image_size(cv2.imencode(".png", image)[1].tobytes(), ENCODING_PNG) == (width, height)
