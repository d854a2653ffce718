"""The size of an image, read from its header."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate.image_header import image_size, other_image, require_whole
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


GREY = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
JPEG = cv2.imencode(".jpg", GREY)[1].tobytes()


def with_components(count: int) -> bytes:
    """The same JPEG, whose frame header says another number of components."""
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 9] + bytes([count]) + JPEG[at + 10 :]


@pytest.mark.parametrize("count", [0, 2, 4, 255])
def test_a_jpeg_of_inks_is_refused_for_what_it_is(count):
    """Some programs write a CMYK JPEG as its own opposite, and nothing in it says which."""
    raw = with_components(count)
    assert image_size(raw, ENCODING_JPEG) == (64, 48)
    with pytest.raises(Malformed, match=f"one of {count} components") as caught:
        require_whole(raw, ENCODING_JPEG)
    assert caught.value.reason == Reason.IMAGE
    require_whole(with_components(3), ENCODING_JPEG)


@pytest.mark.parametrize("form", [".tiff", ".bmp", ".webp", ".jp2", ".pgm"])
def test_pictures_that_are_not_read_are_named(form):
    raw = cv2.imencode(form, GREY)[1].tobytes()
    assert other_image(raw)
    for encoding in (ENCODING_PNG, ENCODING_JPEG):
        with pytest.raises(Malformed, match=other_image(raw)):
            image_size(raw, encoding)
    assert not other_image(JPEG) and not other_image(b"")
