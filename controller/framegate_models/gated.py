"""What the gateway's gate would say to pictures that a model is made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from framegate.errors import FramegateError
from framegate_gateway.inference.decoding import decode_gray
from framegate_gateway.inference.gate import golden_of
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_models.first_results import Shown

ALIKE: Final = 0.8
"""Share of good pictures that must lie like the first for the recipe to want that of frames."""


def placed(
    inspector: PictureInspector, shown: Sequence[Shown], decided: list[str]
) -> PictureInspector:
    """Whether good pictures lie like each other: then frames have to as well."""
    good = [one for one in shown if one.good]
    alike = len(good) - len(_refused(inspector, good))
    if alike >= ALIKE * len(good):
        return inspector
    decided.append(
        f"{len(good) - alike} of {len(good)} good pictures do not lie like {good[0].name}: frames"
        " may show any place"
    )
    return PictureInspector(replace(inspector.recipe, place="anywhere"), inspector.run)


def _refused(inspector: PictureInspector, shown: Sequence[Shown]) -> list[str]:
    """Names of the pictures that the gate would refuse, the first good one the golden image."""
    first = next(one for one in shown if one.good)
    golden = golden_of(decode_gray(first.data))
    refused = []
    for one in shown:
        try:
            inspector.ready(inspector.decode(one.data), [golden])
        except FramegateError:
            refused.append(one.name)
    return refused


def gated(inspector: PictureInspector, shown: Sequence[Shown]) -> str:
    """How many of the pictures the gate would refuse, in words."""
    refused = _refused(inspector, shown)
    return (
        f"the gate (light, focus{', place' if inspector.recipe.place == 'registered' else ''})"
        f" would leave {len(refused)} of {len(shown)} pictures UNINSPECTED"
        + (f", {', '.join(refused[:3])} among them" if refused else "")
    )
