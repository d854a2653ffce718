"""What is usual of a surface, as an ONNX graph: the backbone, what each place looks like at several
scales, how far that is from anything seen on sound parts, a heat map and a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from framegate_models.backbone import STRIDES, GraphParts, add_backbone
from framegate_models.pretrained import Weights
from framegate_models.surface import LEAST_FAR, Places, Scale, Surface, Unit, Wholes

INPUT: Final = "image"
SCORE: Final = "pred_score"
HEAT: Final = "anomaly_map"
TOP: Final = "top"
WHOLE: Final = "whole"
HEAT_STRIDE_PX: Final = 4
"""Pixels of the input for one of the heat map: finer than the backbone's maps, so that regions have
round edges.
"""
SMOOTH: Final = 1.5
"""Standard deviation, in pixels of the heat map, of what single places are smoothed by."""
_SMOOTH_REACH: Final = 4
_FLOAT: Final = onnx.TensorProto.FLOAT


def describing_graph(weights: Weights, scales: Sequence[Scale], sides: tuple[int, int]) -> bytes:
    """The graph up to the descriptions alone: `image` (1, 3, h, w) to one output `scaleN`
    (1, c, h', w') for each scale. `sides` (h, w) are multiples of 32.
    """
    parts = GraphParts()
    outputs = []
    for number, (name, scale) in enumerate(
        zip(_descriptions(parts, weights, scales, sides), scales, strict=True)
    ):
        parts.node("Identity", [name], f"scale{number}")
        outputs.append(_value(f"scale{number}", 1, scale.channels, *scale.grid(sides)))
    return parts.model(_value(INPUT, 1, 3, *sides), outputs, "descriptions")


def judging_graph(surface: Surface) -> bytes:
    """From descriptions, inputs `scaleN`, to `top` (1, 1), how strange the strangest place is, and
    `whole` (1, 1), how strange the picture as a whole: both as they are, in no units yet.
    """
    parts = GraphParts()
    names = [f"scale{number}" for number in range(len(surface.scales))]
    heat = _heat(parts, names, surface)
    parts.node("Reshape", [_top(parts, heat), _one_number(parts)], TOP)
    parts.node("Reshape", [_whole(parts, names[0], surface.wholes), _one_number(parts)], WHOLE)
    given = [
        _value(name, 1, scale.channels, *scale.grid(surface.sides))
        for name, scale in zip(names, surface.scales, strict=True)
    ]
    return parts.model(given, [_value(TOP, 1, 1), _value(WHOLE, 1, 1)], "judging")


def surface_graph(weights: Weights, surface: Surface) -> bytes:
    """The whole: `image` (1, 3, h, w) to `pred_score` (1, 1) and `anomaly_map` (1, 1, h / 4,
    w / 4), both in (0, 1), 0.5 being as much as a sound part hardly ever shows.
    """
    parts, sides = GraphParts(), surface.sides
    names = _descriptions(parts, weights, surface.scales, sides)
    heat = _in_unit(parts, _heat(parts, names, surface), surface.heat)
    parts.node("Sigmoid", [heat], HEAT)
    whole = _in_unit(parts, _whole(parts, names[0], surface.wholes), surface.whole)
    most = parts.node("Max", [_top(parts, heat), whole])
    parts.node("Sigmoid", [parts.node("Reshape", [most, _one_number(parts)])], SCORE)
    high, wide = (side // HEAT_STRIDE_PX for side in sides)
    outputs = [_value(SCORE, 1, 1), _value(HEAT, 1, 1, high, wide)]
    return parts.model(_value(INPUT, 1, 3, *sides), outputs, "surface")


def _descriptions(
    parts: GraphParts, weights: Weights, scales: Sequence[Scale], sides: tuple[int, int]
) -> list[str]:
    """For each scale its stages' maps, each place with its neighbours, at the scale's stride."""
    last = max(stage for scale in scales for stage in scale.stages)
    maps = add_backbone(parts, weights, INPUT, last + 1)
    names = []
    for scale in scales:
        looks = []
        for stage in scale.stages:
            mixed = parts.node(
                "AveragePool",
                [maps[stage]],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                count_include_pad=0,
            )
            looks.append(_at_stride(parts, mixed, STRIDES[stage], scale, sides))
        names.append(looks[0] if len(looks) == 1 else parts.node("Concat", looks, axis=1))
    return names


def _at_stride(
    parts: GraphParts, name: str, stride: int, scale: Scale, sides: tuple[int, int]
) -> str:
    if stride == scale.stride:
        return name
    if stride < scale.stride:
        by = scale.stride // stride
        return parts.node("AveragePool", [name], kernel_shape=[by, by], strides=[by, by])
    return _resized(parts, name, scale.grid(sides))


def _resized(parts: GraphParts, name: str, sides: tuple[int, int]) -> str:
    empty = parts.weight(np.zeros(0, np.float32))
    # batch and channels as they are: the shape has to name them
    sizes = parts.node(
        "Concat",
        [
            parts.node("Slice", [parts.node("Shape", [name]), *_ends(parts)]),
            parts.weight(np.array(sides, np.int64)),
        ],
        axis=0,
    )
    return parts.node(
        "Resize",
        [name, "", empty, sizes],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )


def _ends(parts: GraphParts) -> list[str]:
    return [parts.weight(np.array([end], np.int64)) for end in (0, 2)]


def _heat(parts: GraphParts, names: Sequence[str], surface: Surface) -> str:
    """How strange each place is, on average of the scales, smoothed."""
    high, wide = (side // HEAT_STRIDE_PX for side in surface.sides)
    heats = [
        _resized(parts, _strangeness(parts, name, places), (high, wide))
        for name, places in zip(names, surface.places, strict=True)
    ]
    heat = heats[0] if len(heats) == 1 else parts.node("Mean", heats)
    reach = np.arange(-_SMOOTH_REACH, _SMOOTH_REACH + 1)
    bell = np.exp(-(reach**2) / (2 * SMOOTH**2))
    kernel = (np.outer(bell, bell) / bell.sum() ** 2).astype(np.float32)
    rim = parts.weight(np.array([0, 0, _SMOOTH_REACH, _SMOOTH_REACH] * 2, np.int64))
    padded = parts.node("Pad", [heat, rim], mode="edge")
    return parts.node("Conv", [padded, parts.weight(kernel[None, None])])


def _strangeness(parts: GraphParts, name: str, places: Places) -> str:
    """(1, c, h, w) to (1, 1, h, w): each place's distance from its middle, by what is usual."""
    off = parts.node("Sub", [name, parts.weight(places.middle[None])])
    space = parts.node("Conv", [off, parts.weight(_as_kernel(places.whitening))])
    far = _logarithm(parts, parts.node("ReduceSumSquare", [space], axes=[1], keepdims=1))
    more = parts.node("Sub", [far, parts.weight(places.usual[None, None])])
    return parts.node("Div", [more, parts.weight(places.spread[None, None])])


def _whole(parts: GraphParts, name: str, wholes: Wholes) -> str:
    """(1, 1, 1, 1): how far the picture's means are from the nearest that was seen, in logarithms.

    |z - p|² is |z|² - max(2 z·p - |p|²): two convolutions of one pixel, and a maximum.
    """
    mean = parts.node("GlobalAveragePool", [name])
    origin = -(wholes.mean @ wholes.whitening)
    space = parts.node(
        "Conv", [mean, parts.weight(_as_kernel(wholes.whitening)), parts.weight(origin)]
    )
    size = parts.node("ReduceSumSquare", [space], axes=[1], keepdims=1)
    seen = wholes.seen
    near = parts.node(
        "Conv",
        [
            space,
            parts.weight((2 * seen)[:, :, None, None].astype(np.float32)),
            parts.weight(-(seen**2).sum(axis=1).astype(np.float32)),
        ],
    )
    nearest = parts.node("ReduceMax", [near], axes=[1], keepdims=1)
    return _logarithm(parts, parts.node("Sub", [size, nearest]))


def _as_kernel(whitening: NDArray[np.float32]) -> NDArray[np.float32]:
    """Directions (c, c) as a convolution of one pixel."""
    return np.ascontiguousarray(whitening.T)[:, :, None, None]


def _logarithm(parts: GraphParts, squared: str) -> str:
    """Of a length, by its square."""
    least = parts.node("Max", [squared, parts.number(LEAST_FAR**2)])
    return parts.node("Mul", [parts.node("Log", [least]), parts.number(0.5)])


def _in_unit(parts: GraphParts, name: str, unit: Unit) -> str:
    less = parts.node("Sub", [name, parts.number(unit.mean + unit.most * unit.spread)])
    return parts.node("Div", [less, parts.number(unit.spread)])


def _top(parts: GraphParts, heat: str) -> str:
    return parts.node("ReduceMax", [heat], axes=[1, 2, 3], keepdims=1)


def _one_number(parts: GraphParts) -> str:
    return parts.weight(np.array([1, 1], np.int64))


def _value(name: str, *sides: int) -> Any:
    return onnx.helper.make_tensor_value_info(name, _FLOAT, list(sides))
