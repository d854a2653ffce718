"""Parts that do not lie like their golden image: put right, told from other parts, or refused."""

import cv2
import numpy as np
import pytest

from framegate.errors import Reason, Refused
from framegate_gateway.inference.gate import golden_of, require_place
from framegate_gateway.inference.place import Leeway, moved_polygons
from framegate_gateway.inference.pose import find_pose, pose_reference
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.fixtures.plates import plate, scratched
from support.poses import laid, pose_matrix

BOARD = draw_board(77, design=1, defects=8, clean_capture=True)
TURNS = Leeway(turns=True)


def boxed(image: np.ndarray) -> np.ndarray:
    """A board that has room around it: half the size, in the middle of a grey picture."""
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    whole = np.full_like(image, 128)
    h, w = small.shape
    whole[h // 2 : h // 2 + h, w // 2 : w // 2 + w] = small
    return whole


def frame_around(margin: float) -> list[list[tuple[float, float]]]:
    """Four polygons that leave the middle of a picture to be inspected."""
    a, b = margin, 1 - margin
    sides = ((0, 0, 1, a), (0, b, 1, 1), (0, a, a, b), (b, a, 1, b))
    return [[(x1, y1), (x2, y1), (x2, y2), (x1, y2)] for x1, y1, x2, y2 in sides]


IGNORED = tuple(tuple(p) for p in frame_around(0.24))


@pytest.mark.parametrize(
    ("turn", "scale", "shift"),
    [
        (9.5, 1.0, (0, 0)),
        (-9.5, 0.96, (20, -30)),
        (3, 1.04, (-110, 40)),
        (90, 1, (0, 0)),
        (184, 0.98, (-60, 70)),
        (-97, 1.02, (30, 10)),
        (0, 1, (100, 100)),
    ],
)
def test_a_part_that_lies_otherwise_is_put_right_to_a_pixel(turn, scale, shift):
    golden = golden_of(boxed(BOARD.golden))
    matrix = pose_matrix(golden.image.shape, turn, scale, shift, (2e-5, -3e-5))
    frame = laid(boxed(BOARD.frame), matrix)
    dimmed = np.clip(frame * 0.9 + 5, 0, 255).astype(np.uint8)
    registered = require_place(dimmed, golden, Leeway(turns=True, ignored=IGNORED))
    assert registered.matrix is not None and registered.likeness > 0.9
    corners = np.array([[[170.0, 170], [470, 170], [470, 470], [170, 470]]])
    there, right = (cv2.perspectiveTransform(corners, m)[0] for m in (registered.matrix, matrix))
    assert np.abs(there - right).max() < 1.5


@pytest.mark.parametrize(
    ("change", "leeway", "reason", "words"),
    [
        ((16, 1, (0, 0)), TURNS, Reason.OUT_OF_PLACE, "turned by"),
        ((0, 1, (150, 0)), TURNS, Reason.OUT_OF_PLACE, "%, turned by"),
        ((9, 1, (0, 0)), Leeway(), Reason.OUT_OF_PLACE, "turned by 9"),
        (
            (9, 1, (0, 0)),
            Leeway(turns=True, ignored=IGNORED, masked=True),
            Reason.OUT_OF_PLACE,
            "masks are in force",
        ),
    ],
)
def test_a_part_too_far_off_its_place_is_told_from_another_part(change, leeway, reason, words):
    golden = golden_of(BOARD.golden)
    frame = laid(BOARD.golden, pose_matrix(golden.image.shape, *change))
    with pytest.raises(Refused) as caught:
        require_place(frame, golden, leeway)
    assert caught.value.reason == reason and words in str(caught.value)


@pytest.mark.parametrize("design", [2, 7, 44])
def test_another_part_is_another_part_however_it_lies(design):
    golden = golden_of(BOARD.golden)
    other = draw_board(3, design=design, defects=0, clean_capture=True).frame
    for turn in (0, 6, 90):
        with pytest.raises(Refused) as caught:
            require_place(laid(other, pose_matrix(other.shape, turn, 1, (0, 0))), golden, TURNS)
        assert caught.value.reason == Reason.REGISTRATION


def test_what_is_ignored_moves_with_the_part_and_the_rest_has_to_be_in_view():
    golden = golden_of(boxed(BOARD.golden))
    matrix = pose_matrix(golden.image.shape, 90, 1, (0, 0))
    ((x1, y1), (x2, y2), *_), *_ = moved_polygons(IGNORED, matrix, golden.image.shape)
    assert (round(x1, 2), round(y1, 2)) == (1, 0) and (round(x2, 2), round(y2, 2)) == (1, 1)
    far = laid(golden.image, pose_matrix(golden.image.shape, 0, 1, (150, 0)))
    assert require_place(far, golden, Leeway(turns=True, ignored=IGNORED)).shift[0] > 145
    with pytest.raises(Refused, match="in view"):
        require_place(far, golden, TURNS)


def test_a_textured_plate_is_found_by_its_pose_and_its_scratch_stays():
    rng = np.random.default_rng(8)
    sound = plate(rng)
    matrix = pose_matrix(sound.shape, 7, 0.97, (15, -10))
    pose = find_pose(pose_reference(plate(rng)), laid(scratched(rng, sound), matrix))
    assert pose.likeness > 0.85 and abs(pose.turn_deg - 7) < 0.8
    assert abs(pose.scale - 0.97) < 0.01


def test_pictures_with_nothing_to_turn_by_have_no_pose():
    flat = np.full((200, 240), 90, np.uint8)
    assert find_pose(pose_reference(flat), flat).likeness == 0.0
    assert find_pose(pose_reference(BOARD.golden), np.full_like(BOARD.golden, 90)).likeness == 0.0
    tiny = np.random.default_rng(1).integers(0, 255, (40, 40), np.uint8)
    with pytest.raises(Refused) as caught:
        require_place(np.ascontiguousarray(tiny[::-1]), golden_of(tiny), TURNS)
    assert caught.value.reason == Reason.REGISTRATION
