"""What is usual of a surface, as an ONNX graph: the backbone, what each place looks like at several
scales, how far that is from anything seen on sound parts, a heat map and a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx

from framegate_models.backbone import GraphParts
from framegate_models.pretrained import Weights
from framegate_models.surface import Scale, Surface

INPUT: Final = "image"
SCORE: Final = "pred_score"
HEAT: Final = "anomaly_map"
HEAT_STRIDE_PX: Final = 4
"""Pixels of the input for one of the heat map: finer than the backbone's maps, so that regions have
round edges.
"""
_FLOAT: Final = onnx.TensorProto.FLOAT


def describing_graph(weights: Weights, scales: Sequence[Scale], sides: tuple[int, int]) -> bytes:
    """The graph up to the descriptions alone, one output `scaleN` (1, c, h, w) for each scale: what
    a surface is learned from. `sides` (h, w) of the input.
    """
    parts = GraphParts()
    names = add_descriptions(parts, weights, scales, sides)
    outputs = []
    for number, (name, scale) in enumerate(zip(names, scales, strict=True)):
        parts.node("Identity", [name], f"scale{number}")
        outputs.append(_value(f"scale{number}", (1, scale.channels, *scale.grid(sides))))
    return parts.model(_value(INPUT, (1, 3, *sides)), outputs, "descriptions")


def surface_graph(weights: Weights, surface: Surface) -> bytes:
    """The whole: `image` (1, 3, h, w) to `pred_score` (1, 1) and `anomaly_map` (1, 1, h / 4,
    w / 4), both in [0, 1] with 0.5 where a sound part hardly ever comes.
    """
    parts, sides = GraphParts(), surface.sides
    names = add_descriptions(parts, weights, [one.scale for one in surface.looks], sides)
    high, wide = (side // HEAT_STRIDE_PX for side in sides)
    heats = []
    for name, look in zip(names, surface.looks, strict=True):
        far = _distance(parts, name, look)
        heats.append(_resized(parts, far, (high, wide)))
    heat = heats[0] if len(heats) == 1 else parts.node("Sum", heats)
    heat = _smoothed(parts, heat, surface.smooth)
    _squashed(parts, heat, HEAT, surface.heat_unit)
    top = parts.node("ReduceMax", [heat], axes=[2, 3], keepdims=0)
    share = parts.node("Div", [top, parts.number(surface.heat_unit)])
    if surface.whole is not None:
        far = _whole_distance(parts, names, surface.whole)
        share = parts.node("Max", [share, far])
    _squashed(parts, share, SCORE, 1.0)
    outputs = [_value(SCORE, (1, 1)), _value(HEAT, (1, 1, high, wide))]
    return parts.model(_value(INPUT, (1, 3, *sides)), outputs, "surface")
