"""The heat under a defect's box as a verdict has it: a coarse grid of letters, signed with all
else.

An anomaly model's answer is a map. A verdict cannot hold one for every frame, and a picture made
later by another run of the model would prove nothing: so each of the hottest defects bears a grid
of its own.
"""

from __future__ import annotations

from typing import Any, Final

MAX_CELLS: Final = 12
"""Along each side: a person sees where in the box it is hot, and eight grids are a kilobyte."""
MAX_GRIDS: Final = 8
"""Defects of one verdict that bear a grid, the hottest: a verdict has to stay small."""
LEVELS: Final = "0123456789abcdef"
"""A letter a cell: heat from 0 to 1 in sixteenths."""
_SHADES: Final = " .:-=+*#%@"
"""What a terminal shows, cold to hot."""


def is_heat(rows: object) -> bool:
    """Whether `rows` is a grid: 1 to `MAX_CELLS` rows of as many letters each, all of `LEVELS`."""
    return (
        type(rows) is list
        and 0 < len(rows) <= MAX_CELLS
        and all(type(row) is str and 0 < len(row) <= MAX_CELLS for row in rows)
        and len({len(row) for row in rows}) == 1
        and set("".join(rows)) <= set(LEVELS)
    )


def heat_values(defect: dict[str, Any]) -> list[list[float]]:
    """A defect's grid as numbers in [0, 1], top row first; [] where it has none, or none that is
    one: what bears a signature is read no less carefully for that.
    """
    rows = defect.get("heat")
    if not is_heat(rows):
        return []
    top = len(LEVELS) - 1
    return [[LEVELS.index(letter) / top for letter in row] for row in rows or ()]


def heat_shades(defect: dict[str, Any]) -> list[str]:
    """A defect's grid as lines of a terminal, two letters a cell, since letters are tall."""
    last = len(_SHADES) - 1
    return [
        "".join(2 * _SHADES[round(value * last)] for value in row) for row in heat_values(defect)
    ]
