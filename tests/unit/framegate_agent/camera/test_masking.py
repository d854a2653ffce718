"""Masked pixels are gone."""

import numpy as np

from framegate_agent.camera.masking import Masker, blank


def test_masked_pixels_are_gone():
    image = np.full((480, 640), 200, np.uint8)
    blank(image, (((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)),))
    assert (
        (image[130:350, 170:470] == 0).all()
        and (image[:110] == 200).all()
        and (image[:, :150] == 200).all()
    )
    masker = Masker()
    assert masker.apply(image) == (0, b"") and not masker.active
