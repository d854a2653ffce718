"""How much of a part, and of the picture of it, is inspected once masks have blanked it and the
part's rules have left some of it out (N135).

Who may set masks and rules may not thereby make a part pass unseen: what leaves less than
`MIN_INSPECTED`, of the picture or of the part's own area in it, is refused wherever it comes along.
How much is left, and of what, stands in what approvers read, in the verdict and in the receipt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import chain, pairwise
from typing import Final, NamedTuple

from framegate.errors import Reason, Refused
from framegate.receipt_verifier import FOREGROUND, MIN_INSPECTED, OUTLINE, of_words

GRID: Final = 256
"""Cells along each side. An outline costs at most one cell at each end, 0.4 % of a side."""
MAX_AT_LEAST: Final = 0.95
"""The highest threshold of a class. Scores end below one: a class that has to be surer than this is
hardly ever reported.
"""
MAX_MIN_SIZE_PX: Final = 64.0
"""The largest defect, by its longer side, that a part's rules may leave out."""
MAX_MIN_SIZE_SHARE: Final = 0.10
"""The same as a share of the frame's shorter side: in a small picture fewer pixels are a lot."""
MAX_TOLERANCE: Final = 48
"""Grey levels by which a golden image may let any pixel differ. What is copper and what is ground
differ by a hundred and more, so that a defect stands out wherever that is tolerated, if less.
"""
LOOSE: Final = 24
"""Grey levels from which on a place counts as not inspected where shares are told: faint defects
pass there.
"""
MAX_TOLERANT: Final = 20
"""Percent of the picture where that much may be tolerated: print and light vary in places, and a
part that varies everywhere is for a model of its own (`framegate-models learn`).
"""


Polygon = tuple[tuple[float, float], ...]
Area = tuple[int, ...]
"""Cells of the grid, a row an integer from the top; bit 0 of a row is its leftmost cell."""
_FULL: Final = (1 << GRID) - 1
PICTURE: Final[Area] = (_FULL,) * GRID
MIN_AREA_CELLS: Final = GRID * GRID // 200
"""Half a percent of the picture. Less is a speck: cells that outlines touch would decide."""


class InspectedOf(StrEnum):
    """What a share is of: the picture, where nothing is known of the part in it; the outline that
    was signed with the part; or what stands off the background of its golden image. `PICTURE` is
    empty: verdicts of before say nothing, and mean that.
    """

    PICTURE = ""
    OUTLINE = OUTLINE
    FOREGROUND = FOREGROUND

    @property
    def words(self) -> str:
        """For people: the share is so many percent of this."""
        return of_words(self.value)


class Inspected(NamedTuple):
    """`percent`, rounded down, of what `of` says."""

    percent: int
    of: InspectedOf

    def __str__(self) -> str:
        return f"{self.percent} % of {self.of.words}"


WHOLE: Final = Inspected(100, InspectedOf.PICTURE)
"""Nothing is masked or left out, of a part of which no more is known."""


def inspected_share(*regions: Sequence[Polygon], area: Area = PICTURE) -> int:
    """Percent of `area`, rounded down, that no polygon of any of `regions` touches.

    Corners are fractions of width and height. A cell of `GRID` x `GRID` counts as left out where an
    outline passes through it, a line without an area too, or its middle is inside by either rule
    of filling (even-odd, winding): no way to draw the same polygon leaves out more.
    """
    return _share(tuple(chain.from_iterable(regions)), area)


@lru_cache(maxsize=1024)
def _share(polygons: tuple[Polygon, ...], area: Area) -> int:
    """Remembered: at a gateway each pair of masks and part is asked of every frame."""
    out = area_of(polygons)
    whole = sum(row.bit_count() for row in area)
    left = sum((row & ~gone).bit_count() for row, gone in zip(area, out, strict=True))
    return 100 * left // whole if whole else 0


@lru_cache(maxsize=1024)
def area_of(polygons: tuple[Polygon, ...]) -> Area:
    """Every cell that a polygon touches."""
    rows = [0] * GRID
    for polygon in polygons:
        for row, cells in chain(_outline(polygon), _inside(polygon)):
            rows[row] |= cells
    return tuple(rows)


def less_tolerant(left: Inspected, tolerant_percent: int, area: Area = PICTURE) -> Inspected:
    """What is left of `area` once a golden image tolerates more than `LOOSE` grey levels on
    `tolerant_percent` of the picture: all of that counts as lying in the area, and as not masked.
    """
    cells, whole = cells_of(area), GRID * GRID
    gone = min(100, -(-tolerant_percent * whole // max(1, cells))) if tolerant_percent else 0
    return Inspected(max(0, left.percent - gone), left.of)


def cells_of(area: Area) -> int:
    """How many cells it has."""
    return sum(row.bit_count() for row in area)


def moved_area(area: Area, right: int, down: int) -> Area:
    """`area` moved by so many cells; what leaves the grid is gone."""
    rows = [(row << right if right >= 0 else row >> -right) & _FULL for row in area]
    empty = [0] * min(abs(down), GRID)
    moved = empty + rows[: GRID - len(empty)] if down >= 0 else rows[len(empty) :] + empty
    return tuple(moved)


def require_inspected(share: int, reason: Reason, what: str, of: str = "the picture") -> None:
    """Raises Refused (`reason`) where `share` percent is less than `MIN_INSPECTED`."""
    if share < MIN_INSPECTED:
        raise Refused.of(
            reason,
            f"{MIN_INSPECTED} % of {of} or more left to be inspected by {what}",
            f"{share} %",
            "mask or ignore less of it",
        )


def _edges(polygon: Polygon) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    return pairwise((*polygon, polygon[0]))


def _cell(fraction: float) -> int:
    return min(GRID - 1, max(0, int(fraction * GRID)))


def _cells(left: float, right: float) -> int:
    """Bits of the cells of a row from `left` to `right`, both touched."""
    first, last = _cell(left), _cell(right)
    return _FULL >> (GRID - 1 - last) & _FULL << first


def _outline(polygon: Polygon) -> Iterator[tuple[int, int]]:
    """(row, bits of the cells that an edge passes through)."""
    for (x1, y1), (x2, y2) in _edges(polygon):
        if y1 > y2:
            x1, y1, x2, y2 = x2, y2, x1, y1
        for row in range(_cell(y1), _cell(y2) + 1):
            if y1 == y2:
                yield row, _cells(min(x1, x2), max(x1, x2))
                continue
            top, bottom = max(y1, row / GRID), min(y2, (row + 1) / GRID)
            ends = [x1 + (x2 - x1) * (y - y1) / (y2 - y1) for y in (top, max(top, bottom))]
            yield row, _cells(min(ends), max(ends))


def _inside(polygon: Polygon) -> Iterator[tuple[int, int]]:
    """(row, bits of the cells whose middle the outline goes round).

    By winding, which has in it whatever is inside by even-odd.
    """
    crossings: dict[int, list[tuple[float, int]]] = {}
    for (x1, y1), (x2, y2) in _edges(polygon):
        if y1 == y2:
            continue
        way, (xa, ya), (xb, yb) = (1, (x1, y1), (x2, y2)) if y1 < y2 else (-1, (x2, y2), (x1, y1))
        for row in range(_cell(ya), _cell(yb) + 1):
            middle = (row + 0.5) / GRID
            if ya <= middle < yb:
                crossings.setdefault(row, []).append(
                    (xa + (xb - xa) * (middle - ya) / (yb - ya), way)
                )
    for row, crossed in crossings.items():
        crossed.sort()
        winding = 0
        for (x, way), (following, _) in pairwise(crossed):
            winding += way
            if winding:
                yield row, _cells(x, following)
