"""What is usual of a surface, as an ONNX graph: the picture, as it is or brought to one contrast,
the backbone, what each place looks like at two scales, how far that is from what sound parts show,
a heat map and a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from framegate_models.backbone import STRIDES, GraphParts, add_backbone
from framegate_models.nearest import LEAST_NEAR
from framegate_models.pretrained import Weights
from framegate_models.surface import (
    LEAST_FAR,
    Given,
    Places,
    Scale,
    Seen,
    Surface,
    Unit,
    Wholes,
)

INPUT: Final = "image"
OUTPUTS: Final = ("scale0", "scale1")
SCORE: Final = "pred_score"
HEAT: Final = "anomaly_map"
NUMBERS: Final = "numbers"
HEAT_STRIDE_PX: Final = 4
"""Pixels of the input for one of the heat map: finer than the backbone's maps, so that regions have
round edges.
"""
SMOOTH: Final = 1.5
"""Standard deviation, in pixels of the heat map, of what single places are smoothed by."""
CONTRAST: Final = 0.35
"""Standard deviation of each picture before the backbone looks, as that of the photographs it was
trained on: how bright a lamp is, is the gate's business. On magnetic tiles under six exposures this
raises the area under ROC by 1.5 %.
"""
LEAST_CONTRAST: Final = 4 / 128
"""Of a picture: the noise of an empty one is not made a surface of."""
_BESIDE: Final = 1e-4
"""By how much a row or column must leave what lies beside the picture to be part of it."""
_SMOOTH_REACH: Final = 4
_FLOAT: Final = onnx.TensorProto.FLOAT


def describing_graph(weights: Weights, scales: Sequence[Scale], given: Given) -> bytes:
    """The graph up to the descriptions alone: `image` (1, 3, h, w) to one of `OUTPUTS`
    (1, c, h', w') for each scale. Sides are multiples of 32.
    """
    parts = GraphParts()
    described = _descriptions(parts, weights, scales, given)
    for name, output in zip(described, OUTPUTS, strict=True):
        parts.node("Identity", [name], output)
    outputs = _described(scales, given)
    return parts.model(_value(INPUT, 1, 3, *given.sides), outputs, "descriptions")


def judging_graph(surface: Surface) -> bytes:
    """From descriptions, inputs `OUTPUTS`, to `numbers` (1, k): how strange the hottest place is;
    then how strange the picture as a whole, or its places together and its strangest one by what
    was seen there. All as they are, in no units yet.
    """
    parts = GraphParts()
    said = _said(parts, surface)
    flat = [parts.node("Reshape", [one, _one_number(parts)]) for one in said.numbers]
    parts.node("Concat", flat, NUMBERS, axis=1)
    given = _described(surface.scales, surface.given)
    return parts.model(given, [_value(NUMBERS, 1, len(flat))], "judging")


def surface_graph(describing: bytes, surface: Surface) -> bytes:
    """The whole, on top of a `describing` graph: `image` (1, 3, h, w) to `pred_score` (1, 1) and
    `anomaly_map` (1, 1, h / 4, w / 4), both in (0, 1), 0.5 being as much as a sound part hardly
    ever shows.
    """
    sides, units = surface.given.sides, surface.units
    below = onnx.load_model_from_string(describing).graph
    parts = GraphParts(list(below.node), list(below.initializer), "on")
    said = _said(parts, surface)
    each = [
        _in_unit(parts, value, unit)
        for value, unit in zip(said.numbers, units.numbers, strict=True)
    ]
    # as `strangeness.of_pictures`
    both = parts.node("Mean" if isinstance(surface.beside, Seen) else "Max", each)
    score = _in_unit(parts, both, units.picture)
    parts.node("Sigmoid", [_in_unit(parts, said.heat, units.heat)], HEAT)
    parts.node("Sigmoid", [parts.node("Reshape", [score, _one_number(parts)])], SCORE)
    high, wide = (side // HEAT_STRIDE_PX for side in sides)
    outputs = [_value(SCORE, 1, 1), _value(HEAT, 1, 1, high, wide)]
    return parts.model(_value(INPUT, 1, 3, *sides), outputs, "surface")


def _described(scales: Sequence[Scale], given: Given) -> list[Any]:
    """Descriptions at each scale, as values of a graph."""
    return [
        _value(name, 1, scale.channels, *scale.grid(given.sides))
        for name, scale in zip(OUTPUTS, scales, strict=True)
    ]


def _even(parts: GraphParts, given: Given) -> str:
    """The picture in the input less its mean, at `CONTRAST`; 0 beside it."""
    if given.beside is None:
        mean = parts.node("ReduceMean", [INPUT], axes=[1, 2, 3], keepdims=1)
        off = parts.node("Sub", [INPUT, mean])
        squares = parts.node("ReduceMean", [parts.node("Mul", [off, off])], axes=[1, 2, 3])
    else:
        inside = _inside(parts, given.beside)
        all_axes = parts.weight(np.array([1, 2, 3], np.int64))
        # of each colour; 1 where all of the input is beside the picture, which is then no picture
        count = parts.node(
            "Max",
            [
                parts.node("Mul", [_sum(parts, inside, all_axes), parts.number(3.0)]),
                parts.number(1.0),
            ],
        )
        whole = _sum(parts, parts.node("Mul", [INPUT, inside]), all_axes)
        off = parts.node(
            "Mul", [parts.node("Sub", [INPUT, parts.node("Div", [whole, count])]), inside]
        )
        squares = parts.node("Div", [_sum(parts, parts.node("Mul", [off, off]), all_axes), count])
    spread = parts.node("Max", [parts.node("Sqrt", [squares]), parts.number(LEAST_CONTRAST)])
    return parts.node("Mul", [off, parts.node("Div", [parts.number(CONTRAST), spread])])


def _inside(parts: GraphParts, beside: float) -> str:
    """(1, 1, h, w): 1 in rows and columns that show some of the picture, else 0."""
    off = parts.node("Abs", [parts.node("Sub", [INPUT, parts.number(beside)])])
    shown = []
    for axes in ([1, 3], [1, 2]):
        most = parts.node("ReduceMax", [off], axes=axes, keepdims=1)
        over = parts.node("Greater", [most, parts.number(_BESIDE)])
        shown.append(parts.node("Cast", [over], to=_FLOAT))
    return parts.node("Mul", shown)


def _sum(parts: GraphParts, of: str, axes: str) -> str:
    return parts.node("ReduceSum", [of, axes], keepdims=1)


def _descriptions(
    parts: GraphParts, weights: Weights, scales: Sequence[Scale], given: Given
) -> list[str]:
    """For each scale its stages' maps, each place with its neighbours, at the scale's stride."""
    last = max(stage for scale in scales for stage in scale.stages)
    shown = _even(parts, given) if given.evened else INPUT
    maps = add_backbone(parts, weights, shown, last + 1)
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
            looks.append(_at_stride(parts, mixed, STRIDES[stage], scale, given.sides))
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


class _Saying(NamedTuple):
    """The heat map (1, 1, h, w), smoothed, and numbers (1, 1, 1, 1) that say how strange the
    picture is.
    """

    heat: str
    numbers: list[str]


def _said(parts: GraphParts, surface: Surface) -> _Saying:
    fine, coarse = OUTPUTS
    maps = [
        _by_middle(parts, name, places)
        for name, places in zip(OUTPUTS, surface.places, strict=False)
    ]
    if isinstance(surface.beside, Wholes):
        heat = _heat(parts, maps, surface.given)
        return _Saying(heat, [_top(parts, heat), _whole(parts, fine, surface.beside)])
    near = _by_seen(parts, _joined(parts, fine, coarse, surface), surface.beside)
    heat = _heat(parts, [*maps, near], surface.given)
    return _Saying(heat, [_top(parts, heat), _together(parts, near), _top(parts, near)])


def _heat(parts: GraphParts, maps: Sequence[str], given: Given) -> str:
    """How strange places are, on average of the `maps`, smoothed."""
    high, wide = (side // HEAT_STRIDE_PX for side in given.sides)
    heats = [_resized(parts, one, (high, wide)) for one in maps]
    reach = np.arange(-_SMOOTH_REACH, _SMOOTH_REACH + 1)
    bell = np.exp(-(reach**2) / (2 * SMOOTH**2))
    kernel = (np.outer(bell, bell) / bell.sum() ** 2).astype(np.float32)
    rim = parts.weight(np.array([0, 0, _SMOOTH_REACH, _SMOOTH_REACH] * 2, np.int64))
    padded = parts.node("Pad", [parts.node("Mean", heats), rim], mode="edge")
    return parts.node("Conv", [padded, parts.weight(kernel[None, None])])


def _joined(parts: GraphParts, fine: str, coarse: str, surface: Surface) -> str:
    """Both scales' descriptions at the coarser grid."""
    by = surface.scales[1].stride // surface.scales[0].stride
    pooled = parts.node("AveragePool", [fine], kernel_shape=[by, by], strides=[by, by])
    return parts.node("Concat", [pooled, coarse], axis=1)


def _by_middle(parts: GraphParts, name: str, places: Places) -> str:
    """(1, c, h, w) to (1, 1, h, w): each place's distance from its middle, by what is usual."""
    off = parts.node("Sub", [name, parts.weight(places.middle[None])])
    space = parts.node("Conv", [off, parts.weight(_as_kernel(places.whitening))])
    far = _logarithm(parts, parts.node("ReduceSumSquare", [space], axes=[1], keepdims=1), LEAST_FAR)
    return _as_usual(parts, far, places)


def _by_seen(parts: GraphParts, name: str, seen: Seen) -> str:
    """(1, c, h, w) to (1, 1, h, w): each place's distance from the nearest that was seen there, by
    what is usual. |z - p|² is |z|² - max(2 z·p - |p|²).
    """
    origin = -(seen.mean @ seen.directions)
    space = parts.node(
        "Conv", [name, parts.weight(_as_kernel(seen.directions)), parts.weight(origin)]
    )
    places, depth = seen.usual.size, seen.directions.shape[1]
    flat = parts.node("Reshape", [space, parts.weight(np.array([depth, places], np.int64))])
    rows = parts.node(
        "Reshape",
        [
            parts.node("Transpose", [flat], perm=[1, 0]),
            parts.weight(np.array([places, 1, depth], np.int64)),
        ],
    )
    size = parts.node("ReduceSumSquare", [rows], axes=[2], keepdims=1)
    pictures = parts.weight(2 * seen.pictures.transpose(0, 2, 1))
    lengths = parts.weight((seen.pictures**2).sum(axis=2)[:, None])
    near = parts.node("Sub", [parts.node("MatMul", [rows, pictures]), lengths])
    nearest = parts.node("ReduceMax", [near], axes=[2], keepdims=1)
    far = _logarithm(parts, parts.node("Sub", [size, nearest]), LEAST_NEAR)
    shape = parts.weight(np.array([1, 1, *seen.usual.shape], np.int64))
    return _as_usual(parts, parts.node("Reshape", [far, shape]), seen)


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
    return _logarithm(parts, parts.node("Sub", [size, nearest]), LEAST_FAR)


def _as_usual(parts: GraphParts, far: str, usual: Places | Seen) -> str:
    more = parts.node("Sub", [far, parts.weight(usual.usual[None, None])])
    return parts.node("Div", [more, parts.weight(usual.spread[None, None])])


def _together(parts: GraphParts, near: str) -> str:
    """(1, 1, 1, 1): the logarithm of the mean of e to the strangeness of each place: many places
    that are a little strange count, and one that is very.
    """
    most = _top(parts, near)
    each = parts.node("Exp", [parts.node("Sub", [near, most])])
    mean = parts.node("ReduceMean", [each], axes=[1, 2, 3], keepdims=1)
    return parts.node("Add", [parts.node("Log", [mean]), most])


def _as_kernel(whitening: NDArray[np.float32]) -> NDArray[np.float32]:
    """Directions (c, c) as a convolution of one pixel."""
    return np.ascontiguousarray(whitening.T)[:, :, None, None]


def _logarithm(parts: GraphParts, squared: str, least_far: float) -> str:
    """Of a length, by its square."""
    least = parts.node("Max", [squared, parts.number(least_far**2)])
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
