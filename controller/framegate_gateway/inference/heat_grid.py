"""A heat map brought to the grid that a verdict has of it, and a grid laid over a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.signed.heat import LEVELS, MAX_CELLS, heat_values

HEAT_SHARE: Final = 0.45
"""Of heat laid over a picture: what lies under it is still seen."""
Floats = NDArray[np.float32]
Colour = NDArray[np.uint8]  # (h, w, 3), BGR


def heat_rows(heat: Floats, box: Sequence[float], size: tuple[int, int]) -> list[str]:
    """The grid of `box` (x1, y1, x2, y2 in pixels of a frame of `size` h, w) out of `heat` (h, w)
    in [0, 1] over the whole frame: the hottest value of what each cell shows, so that a thin line
    does not fade.
    """
    high, wide = heat.shape
    x, y = wide / size[1], high / size[0]
    left, top = min(int(box[0] * x), wide - 1), min(int(box[1] * y), high - 1)
    right, below = int(np.ceil(box[2] * x)), int(np.ceil(box[3] * y))
    under = heat[top : max(top + 1, below), left : max(left + 1, right)]
    rows, columns = (min(MAX_CELLS, side) for side in under.shape)
    steps = len(LEVELS) - 1
    return [
        "".join(LEVELS[round(float(np.clip(cell.max(), 0, 1)) * steps)] for cell in band)
        for band in (
            np.array_split(part, columns, axis=1) for part in np.array_split(under, rows, axis=0)
        )
    ]


def lay_heat(picture: Colour, defects: Sequence[Mapping[str, Any]]) -> None:
    """Colour each defect's box of `picture` by the grid that it bears; in place."""
    for defect in defects:
        values = heat_values(dict(defect))
        x1, y1, x2, y2 = (int(v) for v in defect["box"])
        under = picture[max(0, y1) : y2, max(0, x1) : x2]
        if values and under.size:
            under[:] = heated(under, np.array(values, np.float32))


def heated(picture: Colour, heat: Floats) -> Colour:
    """`picture` with `heat` (any h, w) in [0, 1] over the whole of it, blue where it is cold."""
    size = picture.shape[1], picture.shape[0]
    grown = np.clip(cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR), 0, 1)
    colour = cv2.applyColorMap((255 * grown).astype(np.uint8), cv2.COLORMAP_JET)
    return np.asarray(cv2.addWeighted(picture, 1 - HEAT_SHARE, colour, HEAT_SHARE, 0), np.uint8)
