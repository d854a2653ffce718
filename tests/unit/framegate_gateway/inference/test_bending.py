"""A golden image is laid as a bent part lies, and nothing that is to be found is moved away."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from framegate_gateway.inference.bending import (
    LEAST_PX,
    MOST_PX,
    bend,
    laid,
    register_bent,
)
from framegate_gateway.inference.registration import (
    MIN_LIKENESS,
    Registered,
    reference,
    register,
)
from framegate_gateway.inference.scene import scene_of
from framegate_gateway.inference.second_looks import residual
from framegate_simulators.boards.boards import draw_board

NONE = np.zeros((0, 4), np.float32)


def board(number: int, defects: int = 0):
    return draw_board(number, design=7, defects=defects, clean_capture=True)


def bent(image, by: float, seed: int = 1):
    """The image, its places smoothly moved by up to `by` pixels; and by how much (h, w, 2)."""
    h, w = image.shape
    coarse = np.random.default_rng(seed).normal(0, 1, (4, 4, 2)).astype(np.float32)
    field = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    field *= by / np.abs(field).max()
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return cv2.remap(
        image,
        x - field[..., 0],
        y - field[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ), field


@pytest.mark.parametrize("seed", [1, 2, 4, 5, 6])
def test_what_is_bent_is_laid_straight(seed):
    one = board(100 + seed)
    frame, _ = bent(one.frame, 3.8, seed)
    moved = register(reference(one.golden), frame)
    straight = register_bent(reference(one.golden), frame)
    before, after = (residual(scene_of(frame, lies), NONE) for lies in (moved, straight))
    assert before > 30 and after < 0.5 * before
    assert straight.shift == moved.shift and straight.likeness == moved.likeness


def test_what_lies_flat_is_compared_with_the_golden_image_as_it_is():
    one = board(101)
    moved = register(reference(one.golden), one.frame)
    assert laid(moved, one.frame) is moved
    assert laid(moved, moved.golden) is moved


def dim(frame):
    return cv2.convertScaleAbs(frame, alpha=0.6, beta=20)


def from_one_side(frame):
    return (frame * np.linspace(0.5, 1, frame.shape[1])).astype(np.uint8)


@pytest.mark.parametrize("lit", [dim, from_one_side])
def test_other_light_is_no_shift(lit):
    golden = board(102).golden
    frame = lit(golden)
    lies = laid(Registered(golden, (0.0, 0.0), 1.0), frame).golden
    moved = bend(golden, frame)
    assert np.abs(moved).mean() < 0.3 and np.abs(lies.astype(int) - golden).mean() < 6


def test_no_place_is_moved_further_than_a_bend():
    golden = board(103).golden
    for seed in range(4):
        frame, _ = bent(golden, 15.0, seed)
        field = bend(golden, frame)
        assert np.abs(field).max() <= MOST_PX and np.isfinite(field).all()


def test_defects_are_not_moved_away():
    """Of the difference under a defect most is left where the board is bent and laid."""
    shares = []
    for number in range(6):
        one = board(200 + number, defects=4)
        frame, field = bent(one.frame, 2.0, number)
        golden, _ = bent(one.golden, 2.0, number)
        truth = scene_of(frame, Registered(golden, (0.0, 0.0), 1.0)).unlike
        said = scene_of(frame, register_bent(reference(one.golden), frame)).unlike
        for defect in one.defects:
            y, x = int((defect.y1 + defect.y2) / 2), int((defect.x1 + defect.x2) / 2)
            dx, dy = field[y, x]
            rows = slice(max(0, int(defect.y1 + dy) // 2 - 4), int(defect.y2 + dy) // 2 + 4)
            columns = slice(max(0, int(defect.x1 + dx) // 2 - 4), int(defect.x2 + dx) // 2 + 4)
            shares.append(float(said[rows, columns].max()) / float(truth[rows, columns].max()))
    assert np.median(shares) > 0.9 and np.mean(np.array(shares) > 0.6) >= 0.9


def test_what_shows_something_else_is_left_as_it_is():
    golden, other = board(104).golden, draw_board(5, design=3, clean_capture=True).frame
    unlike = Registered(golden, (0.0, 0.0), MIN_LIKENESS - 0.01)
    assert laid(unlike, other) is unlike


@pytest.mark.parametrize("size", [(1, 1), (9, 200), (100, 640), (159, 161), (163, 171), (640, 333)])
def test_pictures_of_any_size_and_of_nothing(size):
    rng = np.random.default_rng(3)
    noise, blank = rng.integers(0, 256, size, dtype=np.uint8), np.full(size, 128, np.uint8)
    for golden in (noise, blank):
        for frame in (noise[::-1].copy(), blank):
            lies = laid(Registered(golden, (0.0, 0.0), 1.0), frame)
            assert lies.golden.shape == size and lies.golden.dtype == np.uint8
    assert laid(Registered(blank, (0.0, 0.0), 1.0), noise).golden is blank
    assert np.abs(bend(blank, noise) if min(size) >= 160 else 0.0).max() < LEAST_PX


def test_one_frame_after_another_and_side_by_side_come_out_alike():
    """Memory is used again from frame to frame, of each thread its own."""
    frames = [bent(board(100 + seed).frame, 3.8, seed)[0] for seed in (1, 4)]
    frames.append(np.ascontiguousarray(frames[0][:480, :400]))
    goldens = [board(101).golden, board(104).golden, board(101).golden[:480, :400]]
    alone = [
        laid(Registered(np.ascontiguousarray(golden), (0.0, 0.0), 1.0), frame).golden
        for golden, frame in zip(goldens, frames, strict=True)
    ]
    assert not np.array_equal(alone[0], goldens[0])

    def again(number: int) -> bool:
        golden = np.ascontiguousarray(goldens[number % 3])
        said = laid(Registered(golden, (0.0, 0.0), 1.0), frames[number % 3]).golden
        return np.array_equal(said, alone[number % 3])

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(again, range(24)))
