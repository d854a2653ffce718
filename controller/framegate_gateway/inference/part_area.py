"""Where in a golden image its part is: what stands off an even background.

Worked out in the inference child, the one process that decodes pictures. Where there is no even
background, because the part fills the picture, there is nothing to find, and shares are of the
picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Reason
from framegate.signed.inspected import (
    GRID,
    Area,
    InspectedOf,
    Polygon,
    cells_of,
    inspected_share,
    moved_area,
    require_inspected,
)
from framegate.signed.mask import MAX_POINTS
from framegate.signed.part import MAX_OUTLINES

Gray = NDArray[np.uint8]
RIM: Final = 4
"""Cells along the picture's edge by which its background is known."""
LEAST_EVEN: Final = 0.9
"""Share of the rim that has to be alike for there to be a background: a part may touch the edge."""
LEAST_STEP: Final = 24
"""Grey levels by which a part stands off a background without noise: uneven light leaves fewer."""
NOISES: Final = 8
"""Deviations of the rim's grey levels within which a cell counts as background: of 228 pictures of
magnetic tiles, which fill theirs, none has a foreground by it, of four deviations 35 had.
"""
CLOSED: Final = GRID // 16
"""Cells of background between parts of the part, such as traces of a board, that belong to it."""
SPECK_CELLS: Final = 16
"""Less that stands off by itself is dust."""
LEAST: Final = 0.02
"""Share of the picture below which what stands off is a stain or a screw, and no part."""
MOST: Final = 0.85
"""Share of the picture from which on the part fills it, and the picture says as much."""


def part_area(golden: Gray) -> Area | None:
    """The cells in which the part of a golden image (h, w) uint8 lies; None where no even
    background surrounds it, or it fills the picture, or is a speck.
    """
    cells = _foreground(golden)
    return None if cells is None else _rows(cells)


def outline_of(golden: Gray) -> list[dict[str, Any]]:
    """The same as regions, [{points}] in fractions of width and height, for a part's signed
    statement; empty where there is none.
    """
    cells = _foreground(golden)
    if cells is None:
        return []
    contours, _ = cv2.findContours(cells, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = sorted(contours, key=cv2.contourArea, reverse=True)[:MAX_OUTLINES]
    return [{"points": points} for points in map(_points, largest) if len(points) >= 3]


def require_part_inspected(
    area: Area | None,
    masks: Sequence[Any],
    ignored: Sequence[Any],
    shift: tuple[float, float],
    size: tuple[int, int],
    loose: Area | None = None,
) -> int | None:
    """Percent of the part in `area` that `masks` and `ignored`, polygons in the frame, and what the
    golden image tolerates in `loose` leave; None where there is no area. The part lies in the frame
    of `size` (h, w) moved by `shift` pixels (x, y). Raises Refused (INSPECTED_SHARE).
    """
    if area is None:
        return None
    h, w = size
    right, down = round(shift[0] * GRID / w), round(shift[1] * GRID / h)
    lies = moved_area(area, right, down)
    strict = lies
    if loose is not None:
        gone = moved_area(loose, right, down)
        strict = tuple(row & ~out for row, out in zip(lies, gone, strict=True))
    share = inspected_share(_polygons(masks), _polygons(ignored), area=strict)
    share = share * cells_of(strict) // max(1, cells_of(lies))
    of = InspectedOf.FOREGROUND.words
    require_inspected(share, Reason.INSPECTED_SHARE, "masks and a part's rules", of)
    return share


def _polygons(said: Sequence[Any]) -> tuple[Polygon, ...]:
    return tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in said)


def _foreground(golden: Gray) -> NDArray[np.uint8] | None:
    """(GRID, GRID) 1 where the part is."""
    small = np.asarray(cv2.resize(golden, (GRID, GRID), interpolation=cv2.INTER_AREA), np.int16)
    rim = np.concatenate(
        [small[:RIM].ravel(), small[-RIM:].ravel(), small[:, :RIM].ravel(), small[:, -RIM:].ravel()]
    )
    level = float(np.median(rim))
    noise = 1.4826 * float(np.median(np.abs(rim - level)))
    step = max(LEAST_STEP, NOISES * noise)
    if float((np.abs(rim - level) <= step).mean()) < LEAST_EVEN:
        return None
    off = (np.abs(small - level) > step).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (CLOSED, CLOSED))
    padded = cv2.copyMakeBorder(off, CLOSED, CLOSED, CLOSED, CLOSED, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[CLOSED:-CLOSED, CLOSED:-CLOSED]
    whole = _filled(np.ascontiguousarray(closed))
    cells = int(whole.sum())
    if not LEAST <= cells / (GRID * GRID) <= MOST:
        return None
    return whole


def _filled(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`cells` without holes, and without specks: what the background does not reach from the
    picture's edge.
    """
    contours, _ = cv2.findContours(cells, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    whole = np.zeros_like(cells)
    for contour in contours:
        if cv2.contourArea(contour) >= SPECK_CELLS:
            cv2.drawContours(whole, [contour], -1, 1, cv2.FILLED)
    return whole


def _rows(cells: NDArray[np.uint8]) -> Area:
    packed = np.packbits(cells, axis=1, bitorder="little")
    return tuple(int.from_bytes(row.tobytes(), "little") for row in packed)


def _points(contour: Any) -> list[list[float]]:
    """At most `MAX_POINTS` corners of a contour, in fractions of the grid."""
    closeness = 0.75
    corners = cv2.approxPolyDP(contour, closeness, True)
    while len(corners) > MAX_POINTS:
        closeness *= 1.5
        corners = cv2.approxPolyDP(contour, closeness, True)
    return [
        [round((x + 0.5) / GRID, 4), round((y + 0.5) / GRID, 4)] for x, y in corners[:, 0].tolist()
    ]
