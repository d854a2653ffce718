"""What check-source says of one frame, and what it never does."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.signed.mask import Masks
from framegate_agent.camera.capture import Capture
from framegate_agent.camera.look import look_at
from framegate_agent.camera.look_record import parse_look

pytestmark = pytest.mark.slow


def checkered(high: int, low: int = 0) -> np.ndarray:
    image = np.full((400, 500), low, np.uint8)
    image[::4], image[:, ::5] = high, high
    return image


def remarks(image) -> str:
    return " ".join(look_at("p", "t", np.asarray(image, np.uint8)).remarks())


def test_a_good_picture_has_no_remarks():
    assert remarks(checkered(200, 90)) == ""
    assert remarks(checkered(255, 0)) == "", "a part may be black and white"


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (np.zeros((400, 500)), "covered"),
        (np.full((400, 500), 255), "covered"),
        (checkered(60, 10), "dark"),
        (checkered(250, 210), "too bright"),
        (cv2.GaussianBlur(checkered(200, 90), (0, 0), 6), "blurred"),
        (checkered(200, 90)[:100], "small"),
    ],
)
def test_what_is_wrong_with_a_picture_is_said(image, word):
    assert word in remarks(image)


@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.floats()).map(json.dumps))
def test_what_is_no_look_is_no_look(raw):
    with pytest.raises((ValueError, TypeError, KeyError)):
        parse_look(raw if isinstance(raw, bytes) else raw.encode())


def capture_of(source: str, part_type: str = "") -> Capture:
    return Capture(source, part_type=part_type, rate=0, repeat=False)


async def test_a_look_is_one_frame_as_it_will_be_sent(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), checkered(200, 90))
    looked = await capture_of(f"folder:{tmp_path}", "board-7").look()
    assert (looked.look.width, looked.look.height) == (500, 400)
    assert (looked.look.part, looked.look.part_type) == ("a", "board-7")
    seen = cv2.imdecode(np.frombuffer(looked.png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (seen == checkered(200, 90)).all()


async def test_a_masked_region_is_in_no_look(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), checkered(200, 90))
    capture = capture_of(f"folder:{tmp_path}")
    half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    capture.set_masks(Masks(1, bytes(32), (half,)))
    looked = await capture.look()
    seen = cv2.imdecode(np.frombuffer(looked.png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert not seen[:, :249].any() and seen[:, 260:].any()


@pytest.mark.parametrize("source", ["folder:/nowhere", "device:77", "exec:/bin/true"])
async def test_a_source_without_a_frame_is_an_error_not_a_picture(source):
    with pytest.raises(Unavailable) as caught:
        await capture_of(source).look()
    assert caught.value.reason == Reason.UNAVAILABLE


async def test_a_program_that_writes_something_else_is_no_picture(tmp_path):
    program = tmp_path / "camera"
    program.write_text("#!/bin/sh\nexec /usr/bin/yes\n")
    program.chmod(0o755)
    with pytest.raises(FramegateError):
        await capture_of(f"exec:{program}").look()
