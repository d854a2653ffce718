"""A sensor told by its fixed pattern: drawn sensors, some hundred frames each."""

from functools import cache

import cv2
import numpy as np
import pytest

from framegate.looks.fingerprint import BYTES, SIDE
from framegate.looks.kinds import KINDS, Look
from framegate_gateway.inference.fingerprint import (
    BLOCK,
    BLOCKS,
    LEAST_LEARNED,
    MAX_CAMERAS,
    Estimate,
    Fingerprints,
    energy,
    see,
    signs_of,
)
from framegate_gateway.inference.scene import Scene
from framegate_simulators.boards.sensor import GreySensor

SHAPE = (272, 288)
WINDOW = BLOCK * BLOCKS
READY = WINDOW + LEAST_LEARNED
KEY = ("camera.line-1.cam1", "part")
LEAST = KINDS[Look.CAMERA_FINGERPRINT].extreme


@cache
def sensor(seed):
    return GreySensor(seed, SHAPE)


@cache
def board():
    scene = np.full(SHAPE, 235, np.uint8)
    for x in range(24, 280, 48):
        cv2.line(scene, (x, 10), (x, 260), 40, 9)
    return scene


@cache
def usual(seed):
    """More frames than any test looks at, drawn once."""
    return tuple(_scenes(240, seed))


def scenes(count, seed=0, **how):
    """`count` frames by the sensor `seed`; `how` they are taken otherwise (`_scenes`)."""
    return iter(usual(seed)[:count]) if not how else _scenes(count, seed, **how)


def _scenes(count, seed, made=lambda frame: frame, reach=3, light=1.0):
    """Of boards that lie up to `reach` pixels off."""
    draw = np.random.default_rng([7, seed])
    for _ in range(count):
        x, y = (int(n) for n in draw.integers(-reach, reach + 1, 2)) if reach else (0, 0)
        moved = np.roll(board(), (y, x), (0, 1))
        frame = sensor(seed).expose(np.asarray(moved * light, np.uint8))
        yield Scene(np.asarray(made(frame), np.uint8), moved, (float(x), float(y)))


def told(frames, known=None, commission=0):
    prints, said = Fingerprints(), None
    for scene in frames:
        said = prints.see(KEY, scene, known, commission)
    return said


@pytest.fixture(scope="module")
def commissioned():
    return told(scenes(READY), commission=1)


def jpeg(quality):
    def made(frame):
        data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)

    return made


def test_the_same_sensor_is_known_again(commissioned):
    assert len(commissioned.proposed.signs) == BYTES
    assert told(scenes(WINDOW), commissioned.proposed).measured > 0.8 * commissioned.measured


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_another_sensor_is_told_and_never_near_any_limit(commissioned, seed):
    assert told(scenes(WINDOW, seed), commissioned.proposed).measured < LEAST


def test_another_sensor_half_way_through_a_window_is_past_the_limit(commissioned):
    frames = (*scenes(WINDOW), *scenes(3 * WINDOW // 4, seed=1))
    assert told(frames, commissioned.proposed).measured < 0.5 * commissioned.measured


def test_the_picture_of_what_was_shown_before_is_the_same_sensors(commissioned):
    """A replay has the sensor's own pattern: this look is not what finds it."""
    frames = list(scenes(WINDOW))
    again = told((*frames, *frames), commissioned.proposed)
    assert again.measured > 0.8 * commissioned.measured


@pytest.mark.parametrize("gain", [0.7, 1.15])
def test_gain_and_exposure_do_not_make_another_sensor(commissioned, gain):
    def made(frame):
        return np.clip(gain * frame, 0, 255)

    assert told(scenes(WINDOW, made=made), commissioned.proposed).measured > (
        0.5 * commissioned.measured
    )


def test_less_light_does_not_make_another_sensor(commissioned):
    said = told(scenes(WINDOW, light=0.6), commissioned.proposed)
    assert said.measured > 0.5 * commissioned.measured


@pytest.mark.parametrize(
    "made",
    [
        lambda frame: cv2.medianBlur(frame, 5),
        lambda frame: cv2.GaussianBlur(frame, (0, 0), 2.5),
        lambda frame: 255 * (frame > 120),
        lambda frame: np.full_like(frame, 160),
        lambda frame: np.zeros_like(frame),
    ],
    ids=["median", "blur", "thresholded", "one grey", "black"],
)
def test_pictures_without_the_sensors_pattern_are_not_its(commissioned, made):
    said = told(scenes(WINDOW, made=made), commissioned.proposed)
    assert said.measured < 0.5 * commissioned.measured


@pytest.mark.slow
def test_a_thresholded_camera_has_no_pattern_to_commission():
    said = told(scenes(READY, made=lambda frame: 255 * (frame > 120)), commission=1)
    assert said.measured == 0


@pytest.mark.slow
def test_jpeg_leaves_a_pattern_where_it_was_there_at_commissioning():
    known = told(scenes(READY, made=jpeg(75)), commission=1)
    assert told(scenes(WINDOW, made=jpeg(75)), known.proposed).measured > 0.5 * known.measured
    assert told(scenes(WINDOW, 1, made=jpeg(75)), known.proposed).measured < 0.5 * known.measured


@pytest.mark.slow
def test_parts_that_lie_to_the_pixel_teach_no_fingerprint():
    """Their own print would be taken for the sensor's, and another sensor would have it too."""
    said = told(scenes(READY, reach=0), commission=1)
    assert said.measured is None and said.proposed is None


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_set_by_two_sensors_one_after_the_other_is_uneven(share):
    """N185: the least that its frames measure is no third of what its others do."""
    prints, values = Fingerprints(), []
    frames = (*scenes(int(240 * (1 - share))), *scenes(int(240 * share), seed=1))
    for scene in frames:
        said = prints.see(KEY, scene, None, 1)
        values += [] if said.measured is None else [said.measured]
    assert min(values) < max(LEAST, 0.35 * float(np.median(values)))


def test_a_quarter_of_foreign_frames_mixed_in_evenly_lets_the_foreign_sensor_by_no_more():
    own, foreign = scenes(3 * READY // 4), scenes(READY // 4, seed=1)
    mixed = [next(foreign) if n % 4 == 3 else next(own) for n in range(READY)]
    known = told(mixed, commission=1)
    assert told(scenes(WINDOW, 1), known.proposed).measured < 0.5 * known.measured


def test_what_one_commission_learned_is_none_of_the_next_ones():
    prints = Fingerprints()
    for scene in scenes(READY, seed=1):
        prints.see(KEY, scene, None, 1)
    said = [prints.see(KEY, scene, None, 2) for scene in scenes(READY)]
    assert all(one.measured is None for one in said[: READY - 1])
    assert told(scenes(WINDOW, 1), said[-1].proposed).measured < LEAST


def test_nothing_is_said_before_a_window_is_full(commissioned):
    prints = Fingerprints()
    said = [prints.see(KEY, scene, commissioned.proposed) for scene in scenes(WINDOW)]
    assert [one.measured is None for one in said] == [True] * (WINDOW - 1) + [False]
    assert all(one.proposed is None for one in said)


def test_one_cameras_frames_are_none_of_anothers(commissioned):
    prints = Fingerprints()
    own, foreign = scenes(WINDOW), scenes(WINDOW, seed=1)
    for one, other in zip(own, foreign, strict=True):
        mine = prints.see(KEY, one, commissioned.proposed)
        theirs = prints.see(("cam2", "part"), other, commissioned.proposed)
    assert mine.measured > 0.8 * commissioned.measured and theirs.measured < LEAST


def test_windows_of_cameras_long_unseen_go():
    prints, (scene,) = Fingerprints(), scenes(1)
    for number in range(MAX_CAMERAS + 3):
        prints.see((f"cam{number}", "part"), scene, None)
    assert len(prints.follows) == MAX_CAMERAS and ("cam0", "part") not in prints.follows


@pytest.mark.parametrize("shape", [(255, 640), (640, 255), (32, 32)])
def test_a_small_picture_says_nothing(commissioned, shape):
    grey = np.full(shape, 160, np.uint8)
    prints = Fingerprints()
    for _ in range(WINDOW):
        assert prints.see(KEY, Scene(grey, grey), commissioned.proposed).measured is None
    assert not see(Estimate(), Scene(grey, grey))


def test_nothing_is_alike_to_what_was_not_seen(commissioned):
    assert energy(Estimate().pattern(), commissioned.proposed) == 0
    opposite = np.zeros((SIDE, SIDE), np.float32)
    bits = np.unpackbits(np.frombuffer(commissioned.proposed.signs, np.uint8))
    opposite[:] = 1 - 2.0 * bits.reshape(SIDE, SIDE)
    assert energy(opposite, commissioned.proposed) == 0
    assert signs_of(-opposite) == commissioned.proposed
