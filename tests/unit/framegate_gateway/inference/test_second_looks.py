"""Second looks at one scene: what each measures, and what it must not take for more."""

import cv2
import numpy as np
import pytest

from framegate.looks.kinds import Look
from framegate_gateway.inference.scene import Scene
from framegate_gateway.inference.second_looks import coarse_grain, grain, measured

SHAPE = (320, 384)
NONE = np.zeros((0, 4), np.float32)
ALL = np.float32([[0, 0, 384, 320]])


def ground():
    """Two tracks on a light ground."""
    image = np.full(SHAPE, 200, np.uint8)
    image[:, 60:72] = image[150:162] = 30
    return image


def blotched(strength, seed=1):
    """The ground under a perturbation without any fine grain."""
    noise = np.random.default_rng(seed).normal(0, 1, SHAPE).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth *= strength / smooth.std()
    return np.clip(ground() + smooth, 0, 255).astype(np.uint8)


def test_a_smooth_perturbation_is_coarse_grain_and_no_fine_one():
    scene = Scene(blotched(12), ground())
    assert coarse_grain(scene, NONE) > 4
    assert grain(scene).block < 2
    assert coarse_grain(Scene(ground(), ground()), NONE) == 0


@pytest.mark.parametrize("strength", [2, 4, 8])
def test_more_of_it_measures_more(strength):
    less, more = (
        coarse_grain(Scene(blotched(s), ground()), NONE) for s in (strength, 2 * strength)
    )
    assert less < more


def _sloped(frame):
    return np.clip(frame - np.linspace(0, 24, SHAPE[1]), 0, 255).astype(np.uint8)


def _aside(frame):
    return np.roll(frame, 3, axis=1)


def _stained(frame):
    return cv2.circle(frame, (250, 60), 3, 20, -1)


def _dimmed(frame):
    return (frame * 0.85).astype(np.uint8)


@pytest.mark.parametrize("honest", [_sloped, _aside, _stained, _dimmed])
def test_slow_light_tracks_that_lie_off_and_a_stain_are_hardly_any(honest):
    assert coarse_grain(Scene(honest(ground()), ground()), NONE) < 0.5


def test_what_a_detection_explains_or_the_part_leaves_out_is_none():
    frame = ground()
    frame[200:300, 200:300] = blotched(12)[200:300, 200:300]
    assert coarse_grain(Scene(frame, ground()), NONE) > 1
    assert coarse_grain(Scene(frame, ground()), np.float32([[200, 200, 300, 300]])) < 0.1
    corners = ((0.5, 0.6), (0.8, 0.6), (0.8, 0.96), (0.5, 0.96))
    assert coarse_grain(Scene(frame, ground(), ignored=(corners,)), NONE) < 0.1


@pytest.mark.parametrize("boxes", [ALL, np.float32([[-50, -50, 900, 900]])])
def test_where_nothing_flat_is_left_nothing_is_measured(boxes):
    assert coarse_grain(Scene(blotched(12), ground()), boxes) == 0


@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (33, 40), (127, 129), (641, 479)])
def test_pictures_of_any_size_are_measured(shape):
    frame, golden = np.full(shape, 90, np.uint8), np.full(shape, 200, np.uint8)
    said = measured(Scene(frame, golden), NONE)
    assert said[Look.COARSE_GRAIN] == pytest.approx(0, abs=1e-3)
    assert all(np.isfinite(value) for value in said.values())


def test_the_block_with_most_grain_is_what_its_pixels_say():
    draw = np.random.default_rng(3)
    frame = ground()
    frame[64:96, 256:288] = draw.integers(0, 256, (32, 32))
    scene = Scene(frame, ground())
    fine = cv2.absdiff(frame, cv2.medianBlur(frame, 3))
    assert grain(scene).block == pytest.approx(float(fine[64:96, 256:288].mean()))


def test_sharpness_is_that_of_second_derivatives():
    scene = Scene(blotched(20), ground())
    spread = [cv2.Laplacian(image, cv2.CV_64F).std() for image in (scene.half, scene.half_golden)]
    share = (spread[0] / spread[1] / scene.light.contrast) ** 2
    assert scene.light.sharpness == pytest.approx(share)
