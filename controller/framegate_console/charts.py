"""Curves as SVG paths, drawn here: a page needs no library for them, and no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 240
HEIGHT: Final = 48


@dataclass(frozen=True, slots=True)
class Curve:
    """A path in a box of `WIDTH` by `HEIGHT`, and the value at its upper edge."""

    path: str
    most: float


def curve(points: Sequence[float | None]) -> Curve:
    """The points from left to right, the last at the right edge; where one is None the line is
    interrupted, for unknown is not zero.
    """
    most = max((p for p in points if p is not None), default=0.0) or 1.0
    step = WIDTH / max(len(points) - 1, 1)
    path, drawing = [], False
    for place, point in enumerate(points):
        if point is None:
            drawing = False
            continue
        y = HEIGHT - 2 - (HEIGHT - 4) * point / most
        path.append(f"{'L' if drawing else 'M'}{place * step:.1f} {y:.1f}")
        drawing = True
    return Curve("".join(path), most)
