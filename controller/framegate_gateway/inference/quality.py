"""Whether a frame is worth inspecting: covered lens, exposure, focus. Cheap, on the half-resolution
image that registration needs anyway (N109).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Reason, Refused

COVERED: Final = 0.2
"""A frame whose grey values spread by less than this share of the golden image's shows nothing of
the part.
"""
FOCUS: Final = 0.12
"""A frame whose edges (variance of the Laplacian over the variance of grey values) are softer than
this share of the golden image's is out of focus: a blur of some three pixels. Half that blur still
lets the smallest drawn defects be found.
"""
EXPOSURE: Final = 0.20
"""By how much of the full scale the mean grey level may lie off the golden image's before lamp or
shutter is wrong; fifteen defects move it by a hundredth.
"""
CLIPPED: Final = 0.25
"""Share of pixels that may be clipped to pure black or white beyond the golden image's own share.
"""


class Signature:
    """What of an image (half resolution, float32) the gate compares: spread, sharpness, mean grey
    level, share clipped to black and to white.
    """

    __slots__ = ("clipped", "level", "sharpness", "spread")

    def __init__(self, half: NDArray[np.float32]) -> None:
        mean, spread = cv2.meanStdDev(half)
        deviation = float(spread[0, 0])
        edges = float(cv2.meanStdDev(cv2.Laplacian(half, cv2.CV_32F))[1][0, 0])
        self.spread = deviation
        self.sharpness = (edges / deviation) ** 2 if deviation > 0 else 0.0
        sample = half[::4, ::4]
        self.level = float(mean[0, 0])
        self.clipped = float((sample <= 1).mean()), float((sample >= 254).mean())


def require_quality(frame: Signature, golden: Signature) -> None:
    """Pass a frame that can be compared with its golden image. Raises Refused (IMAGE_COVERED,
    IMAGE_EXPOSURE, IMAGE_DEFOCUS).

    1. it shows something: its grey values spread;
    2. its mean level lies near the golden image's, and not much more of it is clipped;
    3. its edges are about as sharp.
    """
    if frame.spread < COVERED * golden.spread:  # 1
        raise Refused.of(
            Reason.IMAGE_COVERED,
            f"grey values that spread by {COVERED:g} of the golden image's {golden.spread:.0f}",
            f"{frame.spread:.1f}",
            "is the lens covered, the light off?",
        )
    off = abs(frame.level - golden.level) / 255
    more = max(a - b for a, b in zip(frame.clipped, golden.clipped, strict=True))
    if off > EXPOSURE or more > CLIPPED:  # 2
        said = f"{frame.level:.0f}, {100 * max(frame.clipped):.0f} % clipped"
        raise Refused.of(
            Reason.IMAGE_EXPOSURE,
            f"a mean grey level near the golden image's {golden.level:.0f}",
            said,
            "look at lamp, shutter and gain",
        )
    if frame.sharpness < FOCUS * golden.sharpness:  # 3
        raise Refused.of(
            Reason.IMAGE_DEFOCUS,
            f"edges at least {FOCUS:g} as sharp as the golden image's",
            f"{frame.sharpness / max(golden.sharpness, 1e-9):.2f}",
            "focus the lens, clean it",
        )
