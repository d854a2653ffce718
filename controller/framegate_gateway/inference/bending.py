"""A golden image laid as a part lies that is bent, or was scanned so: a smooth field of small
shifts on top of how the whole part was moved.

One step of least squares on the gradients (Lucas and Kanade 1981) in each cell of a coarse grid,
the sums of neighbours together: a cell has many edges, a defect is one of them and does not move
it.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from framegate_gateway.inference.registration import (
    MIN_LIKENESS,
    Floats,
    Gray,
    Reference,
    Registered,
    register,
)

SHRUNK: Final = 4
"""The step is taken at a quarter of the resolution, where bends of some pixels are one or two."""
CELL_PX: Final = 10
"""Side of a cell there: 40 pixels of the frame, a few tracks wide."""
SMOOTH: Final = 1.0
"""Deviation of the blur before gradients, in pixels there: as far as a step can look."""
NEIGHBOURS: Final = 1.0
"""Deviation, in cells, over which sums are shared."""
MOST_PX: Final = 4.0
"""Pixels of the frame that a place is moved at most, right or down: more is no bend, and what is to
be found is not to be moved away.
"""
LEAST_PX: Final = 0.75
"""A field that moves nothing by more is not worth an interpolation: a part that lies flat is
compared with its golden image as it is.
"""
DAMPING: Final = 4.0
"""Added to the mean square of gradients: where there is hardly an edge, nothing is moved. Of drawn
boards that were bent by as much as four pixels it leaves least, with 16; 1 leaves 3 % more.
"""
MIN_CELLS: Final = 4


class _Scratch(threading.local):
    """Two maps of a frame's size that are written anew for each frame: to ask the system for such
    memory each time takes three times as long as the work that is done in it.
    """

    def __init__(self) -> None:
        self._pair = np.empty((2, 0, 0), np.float32)

    def maps(self, h: int, w: int) -> Floats:
        if self._pair.shape[1:] != (h, w):
            self._pair = np.empty((2, h, w), np.float32)
        return self._pair


_SCRATCH: Final = _Scratch()


def register_bent(golden: Reference, frame: Gray) -> Registered:
    """The golden image moved under the frame as a whole (`register`), and bent where that needs
    it.
    """
    return laid(register(golden, frame), frame)


def laid(moved: Registered, frame: Gray) -> Registered:
    """`moved`, its golden image bent to lie under the frame (h, w) uint8 of the same size; as it
    was where it needs no bending, or the two do not show the same thing.
    """
    field = bend(moved.golden, frame) if moved.likeness >= MIN_LIKENESS else None
    if field is None or float(np.abs(field).max()) < LEAST_PX:
        return moved
    h, w = frame.shape
    x, y = _SCRATCH.maps(h, w)
    right, down = cv2.split(field)
    cv2.resize(right, (w, h), x, interpolation=cv2.INTER_LINEAR)
    cv2.resize(down, (w, h), y, interpolation=cv2.INTER_LINEAR)
    np.subtract(np.arange(w, dtype=np.float32), x, out=x)
    np.subtract(np.arange(h, dtype=np.float32)[:, None], y, out=y)
    bent = cv2.remap(moved.golden, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return replace(moved, golden=np.asarray(bent, np.uint8))


def bend(golden: Gray, frame: Gray) -> Floats | None:
    """(rows, columns, 2): by how many pixels right and down the frame lies beside the golden image
    in each cell; None for frames of too few cells.
    """
    h, w = (side // SHRUNK for side in frame.shape)
    rows, columns = h // CELL_PX, w // CELL_PX
    if min(rows, columns) < MIN_CELLS:
        return None
    small, there = (_small(image, (w, h)) for image in (golden, frame))
    # light that differs from the golden image's is no shift
    around = 2 * CELL_PX + 1, 2 * CELL_PX + 1
    off = there - small
    off -= cv2.blur(off, around)
    gx, gy = (
        cv2.Sobel(small, cv2.CV_32F, *order, ksize=3, scale=0.125) for order in ((1, 0), (0, 1))
    )
    a, b, c, p, q = (
        cv2.GaussianBlur(
            cv2.resize(product, (columns, rows), interpolation=cv2.INTER_AREA), (0, 0), NEIGHBOURS
        )
        for product in (gx * gx, gx * gy, gy * gy, gx * off, gy * off)
    )
    a, c = a + DAMPING, c + DAMPING
    determinant = a * c - b * b
    step = np.dstack([(b * q - c * p) / determinant, (b * p - a * q) / determinant])
    most = MOST_PX / SHRUNK
    return np.asarray(SHRUNK * np.clip(step, -most, most), np.float32)


def _small(image: Gray, size: tuple[int, int]) -> Floats:
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(shrunk.astype(np.float32), (0, 0), SMOOTH), np.float32)
