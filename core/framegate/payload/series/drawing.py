"""A window as a picture for people: one strip a channel, its time from left to right."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from framegate.payload.series.form import Series
from framegate.payload.series.signal import signals_of

WIDTH_PX: Final = 640
STRIP_PX: Final = 120
MARGIN_PX: Final = 6
PAPER, INK, AXIS = 255, 40, 200


def drawn(series: Series) -> Any:
    """(h, w) uint8: of each channel the lowest and highest value of every stretch."""
    signals = signals_of(series)
    picture = np.full((STRIP_PX * len(signals), WIDTH_PX), PAPER, np.uint8)
    edges = np.linspace(0, series.count, WIDTH_PX + 1).astype(int)
    for number, signal in enumerate(signals):
        top, half = STRIP_PX * number, STRIP_PX // 2 - MARGIN_PX
        reach = max(float(np.abs(signal).max()), 1e-12)
        picture[top + STRIP_PX // 2] = AXIS
        picture[top] = AXIS
        for x in range(WIDTH_PX):
            piece = signal[edges[x] : max(edges[x + 1], edges[x] + 1)] / reach
            low = top + STRIP_PX // 2 - round(half * float(piece.max()))
            high = top + STRIP_PX // 2 - round(half * float(piece.min()))
            picture[low : high + 1, x] = INK
    return picture
