"""A simulated grey sensor: photo response that differs from pixel to pixel, shot and read noise."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_simulators.boards.layout import Gray

PRNU: Final = 0.008
"""Of a sensor's pixels, how differently they see, as a share; 0.5 to 1 % are usual."""
READ_NOISE: Final = 0.8
SHOT_NOISE: Final = 0.02
"""Variance in grey levels for each level of light: a full well of some 12,000 electrons."""
DARK: Final = 60.0
LIGHT: Final = 200.0
BLUR_PX: Final = 0.8


class GreySensor:
    """What a sensor makes of scenes (h, w) of 0 to 255, by its seed."""

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        self._rng = np.random.default_rng([0x6E5, seed])
        self._prnu = 1 + PRNU * self._rng.standard_normal(shape, np.float32)

    def expose(self, scene: NDArray[np.uint8]) -> Gray:
        """One photograph, noise and all."""
        soft = cv2.GaussianBlur(scene, (0, 0), BLUR_PX).astype(np.float32)
        light = (DARK + soft / 255 * (LIGHT - DARK)) * self._prnu
        noise = np.sqrt(READ_NOISE**2 + SHOT_NOISE * light)
        seen = light + noise * self._rng.standard_normal(light.shape, np.float32)
        return np.asarray(np.clip(np.round(seen), 0, 255), np.uint8)
