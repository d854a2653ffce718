"""Samples and what is drawn from them."""

import numpy as np
import pytest

from framegate_models.sampling import CROP_PX, disturb, mirror_of, sample, targets
from framegate_simulators.boards.boards import CLASSES
from framegate_simulators.boards.train import drawn_pair

pytestmark = pytest.mark.slow


def test_targets_and_mirrors():
    heat, geometry, mask = targets(np.array([[40, 40, 72, 56]], np.float32), np.array([3]), 6, 320)
    assert heat[3, 6, 7] == 1.0 and heat[0].max() == 0 and mask.sum() == 9
    assert geometry[:, 6, 7] == pytest.approx([0.0, 0.0, np.log(4), np.log(2)], abs=1e-6)
    assert (
        mirror_of(CLASSES).tolist() == [1, 0, 3, 2, 5, 4] and mirror_of(("scratch", "dent")) is None
    )
    rng = np.random.default_rng(1)
    for seed in range(20):
        crop, light, *_ = sample(rng, drawn_pair(seed), 6, mirror_of(CLASSES))
        assert (
            crop.shape == (2, CROP_PX, CROP_PX) and crop.dtype == np.uint8 and light.shape == (2, 2)
        )


def test_a_disturbed_crop_keeps_its_shape_and_only_now_and_then_changes():
    rng = np.random.default_rng(5)
    plain = np.zeros((2, CROP_PX, CROP_PX), np.uint8)
    plain[:, :, 150:170] = 255
    frames, goldens = 0, 0
    for _ in range(60):
        both = plain.copy()
        disturb(rng, both)
        assert both.shape == plain.shape and both.dtype == np.uint8
        frames += bool((both[0] != plain[0]).any())
        goldens += bool((both[1] != plain[1]).any())
    assert 3 <= frames <= 30 and 3 <= goldens <= 30
