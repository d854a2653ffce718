"""The size of an image, read from its header."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate.image_header import MAX_SEGMENTS, image_size, other_image, require_whole
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


def test_fill_bytes_and_markers_alone_before_the_frame_header_are_stepped_over():
    filled = JPEG[:2] + b"\xff\xff\xff" + b"\xff\xd0" + b"\xff\x01" + JPEG[2:]
    assert image_size(filled, ENCODING_JPEG) == (64, 48)
    require_whole(filled, ENCODING_JPEG)


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"\xff",
        b"\xff\xd9\x00\x02",
        b"\xff\xda\x00\x08" + bytes(8),
        b"\xff\xe0\x00\x01" + bytes(8),
        b"\xff\xc0\x00\x07" + bytes(8),
        b"\xff\xc3\x00\x11" + bytes(40),
        b"\x00\xc0\x00\x11" + bytes(40),
        b"\xff" * 40,
        b"\xff\xe0\xff\xff" + bytes(40),
    ],
    ids=[
        "nothing",
        "half a marker",
        "its end",
        "its scan",
        "a segment of one byte",
        "a short frame header",
        "lossless",
        "no marker",
        "fill bytes alone",
        "a segment past the end",
    ],
)
def test_a_jpeg_that_hides_its_size_is_refused(behind):
    with pytest.raises(Malformed, match="a JPEG with a frame header before its data") as caught:
        image_size(JPEG[:2] + behind, ENCODING_JPEG)
    assert caught.value.reason == Reason.IMAGE


def test_an_end_behind_more_segments_than_encoders_write_is_not_looked_for():
    scan = JPEG.index(b"\xff\xda")
    many = JPEG[:scan] + b"\xff\xfe\x00\x02" * (MAX_SEGMENTS + 1) + JPEG[scan:]
    png = cv2.imencode(".png", GREY)[1].tobytes()
    chunks = png[:33] + (bytes(4) + b"tEXt" + bytes(4)) * (MAX_SEGMENTS + 1) + png[33:]
    for raw, encoding in ((many, ENCODING_JPEG), (chunks, ENCODING_PNG)):
        assert image_size(raw, encoding) == (64, 48)
        with pytest.raises(Malformed, match="an image with its end marker"):
            require_whole(raw, encoding)
    require_whole(png, ENCODING_PNG)


def test_a_video_is_named_as_what_it_may_be():
    assert other_image(b"\0\0\0\x18ftypavif") == "an AVIF, HEIF or video"
