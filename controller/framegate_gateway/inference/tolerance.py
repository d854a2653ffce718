"""By how much each pixel of a golden image may differ: learnt from good frames, kept in the golden
image's alpha channel, so that it is signed and travels with it, and bounded wherever it is read.

Light from another side and print that is set a little beside are no defects. Both leave their trace
in good frames, as pixels that vary. What is tolerated is taken off where the frame is compared: the
golden image goes as near to the frame as it may, and what is left is a defect's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason, Refused
from framegate.signed.inspected import GRID, LOOSE, MAX_TOLERANCE, Area
from framegate_gateway.inference.decoding import decode_alpha
from framegate_gateway.inference.registration import Gray, Registered

MIN_TOLERANT_FRAMES: Final = 8
"""Fewer good frames do not say how much they vary: then nothing is tolerated."""
LEFT_OUT: Final = 0.15
"""Share of the frames, rounded up, that do not count at a pixel, those that are farthest off: what
one bad frame among the good ones shows, or two of twelve, is not tolerated for it (N216).
"""
WIDER: Final = 1.5
"""Times what the others vary by: a few frames do not show the most that comes."""
BLUR_PX: Final = 1.5
"""Standard deviation of what frames are smoothed by first: a sensor's noise is no variation."""
NOTHING: Final = 6
"""Grey levels below which nothing is tolerated: what networks and looks allow in any case."""


def learned_tolerance(frames: Sequence[Gray], golden: Gray) -> Gray:
    """(h, w) grey levels, at most `LOOSE`, by which pixels of good `frames` differ from the
    `golden` image learnt from them; nothing where there are too few. More than `LOOSE` is never
    learnt: whoever wants it says so, and signs on how much of the picture.
    """
    n = len(frames)
    if n < MIN_TOLERANT_FRAMES:
        return np.zeros_like(golden)
    middle = cv2.GaussianBlur(golden, (0, 0), BLUR_PX)
    off = np.stack([cv2.absdiff(cv2.GaussianBlur(f, (0, 0), BLUR_PX), middle) for f in frames])
    counted = n - 1 - math.ceil(LEFT_OUT * n)
    usual = np.partition(off, counted, axis=0)[counted].astype(np.float32)
    near = cv2.dilate(usual * WIDER, np.ones((3, 3), np.uint8))
    near[near < NOTHING] = 0
    return np.asarray(np.minimum(near.round(), LOOSE), np.uint8)


def tolerant_png(golden: Gray, tolerance: Gray) -> bytes:
    """A PNG of the golden image, with its tolerance as transparency where there is any."""
    shown = golden
    if tolerance.any():
        shown = np.asarray(cv2.merge([golden, golden, golden, 255 - tolerance]), np.uint8)
    return bytes(cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())


def tolerance_of(encoded: bytes, signed_percent: int) -> Gray | None:
    """The tolerance (h, w) that a golden image carries, None for none.

    1. no pixel tolerates more than `MAX_TOLERANCE` grey levels; 2. no more than `signed_percent` of
    the picture tolerates more than `LOOSE`. Raises Malformed or Refused (PART).
    """
    alpha = decode_alpha(encoded)
    if alpha is None:
        return None
    tolerance = np.asarray(255 - alpha, np.uint8)
    most = int(tolerance.max())
    if most > MAX_TOLERANCE:  # 1
        raise Malformed.of(
            Reason.PART,
            f"a golden image that tolerates at most {MAX_TOLERANCE} grey levels",
            f"one that tolerates {most}, by its transparency",
            "framegate part learn; or save it without transparency",
        )
    share = loose_percent(tolerance)
    if share > signed_percent:  # 2
        raise Refused.of(
            Reason.PART,
            f"more than {LOOSE} grey levels tolerated on {signed_percent} % of the picture, as was"
            " signed",
            f"{share} %",
            f"framegate part add --tolerant {share}, if that is meant",
        )
    return tolerance if most else None


def loose_percent(tolerance: Gray) -> int:
    """Percent of the picture, rounded up, that tolerates more than `LOOSE` grey levels."""
    return math.ceil(100 * float((tolerance > LOOSE).mean()))


def loose_area(tolerance: Gray) -> Area:
    """Cells of which the larger part tolerates more than `LOOSE` grey levels."""
    loose = np.where(tolerance > LOOSE, 255, 0).astype(np.uint8)
    cells = cv2.resize(loose, (GRID, GRID), interpolation=cv2.INTER_AREA) > 127
    packed = np.packbits(cells, axis=1, bitorder="little")
    return tuple(int.from_bytes(row.tobytes(), "little") for row in packed)


def nearest_allowed(frame: Gray, moved: Registered, tolerance: Gray) -> Gray:
    """The golden image, `moved` under the frame, as near to the frame as its tolerance lets it."""
    lies = _moved(tolerance, moved)
    golden = moved.golden
    least, most = cv2.subtract(golden, lies), cv2.add(golden, lies)
    return np.asarray(cv2.min(cv2.max(frame, least), most), np.uint8)


def _moved(tolerance: Gray, moved: Registered) -> NDArray[np.uint8]:
    """Where the golden image is; nothing is tolerated where it shows nothing of the frame."""
    size = tolerance.shape[::-1]
    if moved.matrix is not None:
        lies = cv2.warpPerspective(tolerance, moved.matrix, size, flags=cv2.INTER_LINEAR)
    elif moved.shift != (0.0, 0.0):
        matrix = np.array([[1, 0, moved.shift[0]], [0, 1, moved.shift[1]]], np.float32)
        lies = cv2.warpAffine(tolerance, matrix, size, flags=cv2.INTER_LINEAR)
    else:
        return tolerance
    return np.asarray(lies, np.uint8)
