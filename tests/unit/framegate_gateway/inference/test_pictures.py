"""Pictures for people: names of defects are whole, inside the frame, and readable on any ground."""

from dataclasses import fields

import numpy as np
import pytest

from framegate.signed.statement import Verdict
from framegate_gateway.inference import pictures
from framegate_gateway.ports.picture_words import badge, caption

CORNERS = {
    "upper left": (0, 0, 20, 20),
    "upper right": (300, 0, 319, 20),
    "lower left": (0, 220, 20, 239),
    "lower right": (300, 220, 319, 239),
    "whole frame": (0, 0, 319, 239),
}


def drawn(ground, box, kind="mousebite", size=(240, 320)):
    frame = np.full(size, ground, np.uint8)
    defects = [{"kind": kind, "score": 0.97, "box": box}]
    return pictures.boxes(frame, defects)


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("box", CORNERS.values(), ids=CORNERS)
def test_a_name_is_whole_and_readable_on_any_ground(ground, box):
    picture = drawn(ground, box)
    assert picture.shape == (240, 320, 3)
    label = _label_in(picture)
    dark, ink = (label < 60).all(axis=2), (label > 200).all(axis=2)
    assert dark.mean() > 0.4, "on a dark ground of its own"
    reference = _label_in(drawn(ground, (100, 100, 130, 130)))
    assert label.shape == reference.shape, "whole, wherever the box is"
    assert (ink == (reference > 200).all(axis=2)).all() and ink.sum() > 60, "no stroke is cut off"


def _label_in(picture):
    """The part of a picture that is neither the frame nor a box."""
    other = (picture == 32).all(axis=2)
    rows, columns = np.where(other)
    return picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def test_a_name_wider_than_the_frame_is_made_smaller():
    picture = drawn(255, (2, 30, 9, 39), kind="a-defect-with-a-long-name", size=(60, 80))
    assert picture.shape == (60, 80, 3) and (picture < 60).all(axis=2).sum() > 200


def test_lines_stand_below_and_cover_no_pixel():
    frame = np.full((60, 300), 128, np.uint8)
    plain, lined = pictures.boxes(frame, []), pictures.boxes(frame, [], ["2026", "model ü"])
    assert (lined[:60] == plain).all() and lined.shape[0] > 60 and (lined[60:] < 60).any()


def test_captions_say_when_and_by_which_model():
    members = dict.fromkeys((f.name for f in fields(Verdict)), "x")
    numbers = {"trigger_sequence": 1, "counter": 1, "issued_at_ms": 1_000, "valid_until_ms": 2_000}
    verdict = Verdict(**members | numbers | {"defects": (), "model_sha256": "ab" * 32})
    _, second = caption(verdict, "boards")
    assert "1970-01-01 00:00:01Z" in second and "model boards " + "ab" * 8 in second
    chain = {
        "id": "c" * 32,
        "at_ms": 1_000,
        "verdict": {"outcome": "DEFECT", "reason": ""},
        "frame": {"part": "p", "signed_by_camera": True},
        "camera": {"id": "camera.line-1.cam1"},
        "model": {"id": "boards 3", "sha256": "ab" * 32},
        "receipt": {"batch": None},
    }
    told = "\n".join(badge(chain))
    assert "1970-01-01 00:00:01Z" in told and "model boards 3 " + "ab" * 8 in told
