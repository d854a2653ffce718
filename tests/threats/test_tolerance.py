"""N216: a golden image that tolerates so much that a defect passes."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from framegate.errors import FramegateError, Malformed, Refused
from framegate.signed.inspected import LOOSE, MAX_TOLERANCE, MAX_TOLERANT
from framegate.signed.part import PartStatement, check_part, left_by
from framegate_agent.camera.pictures import encoded
from framegate_controller.inspection.parts import parse_change
from framegate_gateway.inference.decoding import decode_gray
from framegate_gateway.inference.gate import apply_masks, golden_of
from framegate_gateway.inference.part_area import require_part_inspected
from framegate_gateway.inference.registration import Registered
from framegate_gateway.inference.scene import Scene
from framegate_gateway.inference.tolerance import (
    learned_tolerance,
    loose_percent,
    nearest_allowed,
    tolerance_of,
    tolerant_png,
)

GOLDEN = np.random.default_rng(1).integers(60, 200, (96, 128)).astype(np.uint8)
STATEMENT = PartStatement("plate", 1, ("0" * 64,), (), 0.0, (), "lot", (), 0, 0)


def tolerant(level: int, rows: int) -> np.ndarray:
    """A tolerance of `level` in the first `rows` rows."""
    tolerance = np.zeros_like(GOLDEN)
    tolerance[:rows] = level
    return tolerance


def test_what_is_tolerated_travels_in_the_golden_image():
    tolerance = tolerant(20, 40)
    png = tolerant_png(GOLDEN, tolerance)
    assert (decode_gray(png) == GOLDEN).all(), "whoever knows of no tolerance sees the same image"
    assert (tolerance_of(png, 0) == tolerance).all()
    assert tolerance_of(tolerant_png(GOLDEN, np.zeros_like(GOLDEN)), 0) is None
    assert tolerance_of(encoded(GOLDEN), 0) is None
    jpeg = cv2.imencode(".jpg", GOLDEN)[1].tobytes()
    assert tolerance_of(jpeg, 0) is None


@pytest.mark.parametrize("level", [MAX_TOLERANCE + 1, 120, 255])
def test_n216_more_than_any_pixel_may_differ_by_is_refused(level):
    one = np.zeros_like(GOLDEN)
    one[5, 5] = level
    with pytest.raises(Malformed, match="tolerates"):
        tolerance_of(tolerant_png(GOLDEN, one), 100)


def test_n216_more_than_was_signed_is_refused():
    png = tolerant_png(GOLDEN, tolerant(LOOSE + 1, 12))  # an eighth
    assert loose_percent(tolerant(LOOSE + 1, 12)) == 13
    assert tolerance_of(png, 13) is not None
    for signed in (0, 12):
        with pytest.raises(Refused, match=f"{signed} % of the picture, as was signed"):
            tolerance_of(png, signed)


@pytest.mark.parametrize("percent", [-1, MAX_TOLERANT + 1, 100])
def test_n216_no_more_than_so_much_can_be_signed(percent):
    with pytest.raises(FramegateError):
        check_part(replace(STATEMENT, tolerant_percent=percent))
    with pytest.raises(FramegateError):
        rules = json.dumps({"tolerant_percent": percent}).encode()
        parse_change("plate", [encoded(GOLDEN)], rules, "lot", remove=False)


@pytest.mark.parametrize("said", [True, "3", 3.0, None])
def test_n216_a_share_is_a_whole_number(said):
    rules = json.dumps({"tolerant_percent": said}).encode()
    with pytest.raises(FramegateError):
        parse_change("plate", [encoded(GOLDEN)], rules, "lot", remove=False)


def test_n216_what_is_tolerated_counts_as_not_inspected():
    part = check_part(replace(STATEMENT, tolerant_percent=15))
    assert str(left_by(part)) == "85 % of the picture"
    half = [{"points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}]
    outlined = replace(part, outline=tuple(half))
    assert left_by(outlined).percent in {69, 70}, "all of it counts as lying in the part"
    with pytest.raises(Refused):
        ignored = [{"points": [[0, 0], [0.3, 0], [0.3, 1], [0, 1]]}]
        check_part(replace(part, ignore=tuple(ignored)))
    golden = golden_of(GOLDEN, tolerant(LOOSE + 1, 24))
    area = ((1 << 256) - 1,) * 256
    assert require_part_inspected(area, (), (), (0.0, 0.0), GOLDEN.shape, golden.loose) == 75


def test_a_statement_that_tolerates_nothing_is_as_before():
    assert b"tolerant" not in STATEMENT.payload()
    assert PartStatement.parse_payload(STATEMENT.payload()) == STATEMENT


def test_n216_what_is_beyond_the_tolerance_is_left():
    tolerance = tolerant(20, 96)
    frame = GOLDEN.copy()
    frame[40:56, 40:56] = np.clip(GOLDEN[40:56, 40:56].astype(int) + 55, 0, 255)
    frame[:20] += 15
    allowed = nearest_allowed(frame, Registered(GOLDEN, (0.0, 0.0), 1.0), tolerance)
    assert (allowed[:20] == frame[:20]).all()
    off = cv2.absdiff(frame, allowed)[40:56, 40:56]
    assert off.max() == 35 and np.median(off) == 35


def test_residual_is_beyond_what_is_allowed():
    golden = np.full((96, 128), 100, np.uint8)
    frame = golden.copy()
    frame[:, 64:] = 112
    lies = Registered(golden, (0.0, 0.0), 1.0)
    allowed = nearest_allowed(frame, lies, np.full_like(golden, 12))
    assert Scene(frame, golden).unlike.max() >= 10
    assert Scene(frame, golden, allowed=allowed).unlike.max() == 0


def test_n216_a_bad_frame_among_good_ones_is_not_tolerated():
    rng = np.random.default_rng(4)
    frames = [np.clip(GOLDEN + rng.normal(0, 2, GOLDEN.shape), 0, 255).astype(np.uint8)] * 12
    for bad in frames[:2] or ():
        assert bad.shape == GOLDEN.shape
    poisoned = [f.copy() for f in frames]
    for frame in poisoned[:2]:
        frame[30:50, 30:50] = 255
    assert learned_tolerance(poisoned, GOLDEN)[34:46, 34:46].max() == 0
    for frame in poisoned:
        frame[30:50, 30:50] = rng.integers(0, 255)
    assert learned_tolerance(poisoned, GOLDEN).max() <= LOOSE
    assert not learned_tolerance(poisoned[:7], GOLDEN).any(), "too few to tell"


def test_masks_leave_nothing_to_tolerate():
    golden = golden_of(GOLDEN, tolerant(10, 96))
    frame = GOLDEN.copy()
    frame[:48] = 0
    polygon = [[0, 0], [1, 0], [1, 0.5], [0, 0.5]]
    masked = apply_masks(frame, golden, [polygon], 12.0)
    assert not masked.tolerance[:40].any() and masked.tolerance[60:].all()
