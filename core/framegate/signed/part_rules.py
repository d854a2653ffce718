"""A part's rules as somebody asks for them, those that a new version keeps of the one before, and
what of the guard another version takes away (N184).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from framegate.looks.limits import loosened, parse_limits
from framegate.signed.inspected import GRID, LOOSE, area_of, cells_of
from framegate.signed.mask import parse_regions
from framegate.signed.part import PartStatement, outline_area


def rules_of(part: PartStatement) -> dict[str, Any]:
    """A part's rules, as a request to add it has them."""
    return {
        "thresholds": list(part.thresholds),
        "min_size_px": part.min_size_px,
        "ignore": list(part.ignore),
        "looks": list(part.looks),
        "outline": list(part.outline),
        "tolerant_percent": part.tolerant_percent,
    }


def relearnt(
    before: PartStatement | None, outline: Sequence[Any], tolerant_percent: int
) -> dict[str, Any]:
    """Rules for a golden image that was learnt anew: of the image are its outline and what it
    tolerates, and all others stay as they are in force; none where the part is new.
    """
    none = {"thresholds": [], "min_size_px": 0.0, "ignore": [], "looks": []}
    kept = none if before is None else rules_of(before)
    return {**kept, "outline": list(outline), "tolerant_percent": tolerant_percent}


def weakened(before: PartStatement, after: PartStatement) -> tuple[str, ...]:
    """What of a part's guard goes or gives way in its next version, each member in words for
    whoever approves it. Where nobody can tell which is the stricter, it is told.
    """
    own = [row for row in before.looks if row.get("look") not in before.later]
    return (
        *(f"{name}, of a later version, goes" for name in before.later),
        *loosened(parse_limits(own), parse_limits(after.looks)),
        *_thresholds(before, after),
        *_sizes(before, after),
        *_outlines(before, after),
    )


def _thresholds(before: PartStatement, after: PartStatement) -> Iterator[str]:
    old, new = ({str(t["kind"]): t["at_least"] for t in p.thresholds} for p in (before, after))
    for kind in sorted({*old, *new}):
        if kind not in new:
            yield f"{kind} from the model's own threshold on, before {old[kind]:g}"
        elif kind not in old:
            yield f"{kind} from {new[kind]:g} on, before the model's own threshold"
        elif new[kind] > old[kind]:
            yield f"{kind} from {new[kind]:g} on, before {old[kind]:g}"


def _sizes(before: PartStatement, after: PartStatement) -> Iterator[str]:
    if after.min_size_px > before.min_size_px:
        yield f"no defects below {after.min_size_px:g} px, before {before.min_size_px:g}"
    if before.goldens and len(after.goldens) > len(before.goldens):
        yield f"one of {len(after.goldens)} golden images to be like, before {len(before.goldens)}"
    rows = zip(*(area_of(parse_regions(p.ignore)) for p in (before, after)), strict=True)
    more = sum((now & ~then).bit_count() for then, now in rows)
    if more:
        yield f"another {-(-100 * more // (GRID * GRID))} % of the picture is not judged"


def _outlines(before: PartStatement, after: PartStatement) -> Iterator[str]:
    if before.outline and not after.outline:
        yield "its outline goes: shares are of the picture"
    elif before.outline and before.outline != after.outline:
        yield f"another outline, of {_percent(after)}, before {_percent(before)}"
    if before.tolerant_percent < after.tolerant_percent:
        yield (
            f"golden images tolerate more than {LOOSE} grey levels on"
            f" {after.tolerant_percent} % of the picture, before {before.tolerant_percent}"
        )


def _percent(part: PartStatement) -> str:
    """How much of the picture a part's outline is."""
    cells = cells_of(outline_area(part.outline) or ())
    return f"{100 * cells // (GRID * GRID)} % of the picture"
