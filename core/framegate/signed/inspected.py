"""How much of a picture is inspected, once masks have blanked it and a part's rules have left parts
of it out (N135).

Who may set masks and rules may not thereby make a part pass unseen: what leaves less than
`MIN_INSPECTED` is refused wherever it comes along, and how much is left stands in what approvers
read, in the verdict and in the receipt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from typing import Final

from framegate.errors import Reason, Refused
from framegate.receipt_verifier import MIN_INSPECTED

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


Polygon = tuple[tuple[float, float], ...]
_FULL: Final = (1 << GRID) - 1


def inspected_share(*regions: Sequence[Polygon]) -> int:
    """Percent of the picture, rounded down, that no polygon of any of `regions` touches.

    Corners are fractions of width and height. A cell of `GRID` x `GRID` counts as left out where an
    outline passes through it, a line without an area too, or its middle is inside by either rule
    of filling (even-odd, winding): no way to draw the same polygon leaves out more.
    """
    return _share(tuple(chain.from_iterable(regions)))


@lru_cache(maxsize=1024)
def _share(polygons: tuple[Polygon, ...]) -> int:
    """Remembered: at a gateway each pair of masks and part is asked of every frame."""
    rows = [0] * GRID
    for polygon in polygons:
        for row, cells in chain(_outline(polygon), _inside(polygon)):
            rows[row] |= cells
    left = GRID * GRID - sum(row.bit_count() for row in rows)
    return 100 * left // (GRID * GRID)


def require_inspected(share: int, reason: Reason, what: str) -> None:
    """Raises Refused (`reason`) where `share` percent is less than `MIN_INSPECTED`."""
    if share < MIN_INSPECTED:
        raise Refused.of(
            reason,
            f"{MIN_INSPECTED} % of the picture or more left to be inspected by {what}",
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
