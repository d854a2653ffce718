"""How much of a frame masks and a part's rules leave, by its kind of payload: a share of a
picture's cells, or of the rows that a model takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framegate.errors import Reason, Refused
from framegate.signed.inspected import Inspected, InspectedOf, Polygon, require_inspected
from framegate_gateway.inference.parts import left_to_inspect
from framegate_gateway.inference.recipe import Recipe


def left_of_frame(
    recipe: Recipe,
    head: Mapping[str, Any],
    rules: Mapping[str, Any],
    outline: tuple[Polygon, ...],
) -> Inspected:
    """What is left to be inspected of a frame whose `head` has its masks and sides.

    Raises Refused (INSPECTED_SHARE) where that is too little (N201), and (PART) for rules that mean
    nothing for this kind of payload: regions, an outline or second looks of pictures.
    """
    if recipe.examined is None:
        return left_to_inspect(head, rules, outline)
    if rules["ignore"] or outline or rules["min_size_px"] or rules["looks"]:
        raise Refused.of(
            Reason.PART,
            f"rules for {recipe.payload}: no regions, outline, sizes or second looks",
            "rules for pictures",
            "framegate part add, with thresholds alone",
        )
    left = Inspected(recipe.examined.left(recipe.given, head["masks"]), InspectedOf.PICTURE)
    what = f"the {recipe.payload}'s rows"
    require_inspected(left.percent, Reason.INSPECTED_SHARE, "masks", what)
    return left
