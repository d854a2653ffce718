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


BLOCKS: Final = 8
"""Blocks across and down in each of which a surface's edges are looked at by themselves: a defect
lies in some of them, the focus in all.
"""


class Signature:
    """What of an image (half resolution, float32) the gate compares: spread, sharpness, mean grey
    level, share clipped to black and to white, and `grain`, the edges of its middling block.
    """

    __slots__ = ("clipped", "grain", "level", "sharpness", "spread")

    def __init__(self, half: NDArray[np.float32]) -> None:
        mean, spread = cv2.meanStdDev(half)
        deviation = float(spread[0, 0])
        laplacian = cv2.Laplacian(half, cv2.CV_32F)
        edges = float(cv2.meanStdDev(laplacian)[1][0, 0])
        blocks = (
            cv2.meanStdDev(np.ascontiguousarray(block))[1][0, 0]
            for row in np.array_split(laplacian, min(BLOCKS, half.shape[0]), axis=0)
            for block in np.array_split(row, min(BLOCKS, half.shape[1]), axis=1)
        )
        self.grain = float(np.median(list(blocks)))
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
    require_light(frame, golden)  # 1, 2
    if frame.sharpness < FOCUS * golden.sharpness:  # 3
        raise _defocus(frame.sharpness / max(golden.sharpness, 1e-9))


def require_surface(frame: Signature, golden: Signature) -> None:
    """Pass a frame of a surface, which shows another piece of it each time. Raises as
    `require_quality`; its third check is by block, since one large defect outweighs the edges of
    all the grain in a frame that has little else:

    3. the grain of its middling block is about as sharp.
    """
    require_light(frame, golden)
    if frame.grain**2 < FOCUS * golden.grain**2:
        raise _defocus((frame.grain / max(golden.grain, 1e-9)) ** 2)


def require_light(frame: Signature, golden: Signature) -> None:
    """Checks 1 and 2 of `require_quality`."""
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


def _defocus(share: float) -> Refused:
    return Refused.of(
        Reason.IMAGE_DEFOCUS,
        f"edges at least {FOCUS:g} as sharp as the golden image's",
        f"{share:.2f}",
        "focus the lens, clean it",
    )
