"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation) as part of an ONNX graph:
its blocks, by whose maps `learn` describes a surface, each batch normalisation folded into its
convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from framegate_models.pretrained import Weights

OPSET: Final = 17
IR_VERSION: Final = 8
MEAN: Final = 127.0
DEVIATION: Final = 128.0
"""Of the pixels that the backbone was trained on, in each colour."""
_EPSILON: Final = 1e-3
"""Of its batch normalisations."""


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int


_STAGES: Final = (
    _Stage(1, 3, 1),
    _Stage(2, 3, 2),
    _Stage(2, 5, 2),
    _Stage(3, 3, 2),
    _Stage(3, 5, 1),
    _Stage(4, 5, 2),
    _Stage(1, 3, 1),
)
"""Of Lite0: how often, the depthwise kernel's side, the first one's stride."""
CHANNELS: Final = (16, 24, 40, 80, 112, 192, 320)
"""Of each stage's map."""
STRIDES: Final = (2, 4, 8, 16, 16, 32, 32)
"""Pixels of the input for one place of each stage's map."""


@dataclass
class GraphParts:
    """Nodes and weights of a graph while it is put together; names are numbered, after `prefix`
    where it is put on top of another.
    """

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    prefix: str = ""

    def weight(self, value: NDArray[Any]) -> str:
        """The name of a constant tensor."""
        name = f"{self.prefix}w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str = "", **told: Any) -> str:
        """The name of what `operator` makes of `inputs`."""
        name = output or f"{self.prefix}t{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], **told))
        return name

    def relu6(self, of: str) -> str:
        """Clipped to [0, 6]."""
        return self.node("Clip", [of, self.number(0.0), self.number(6.0)])

    def number(self, value: float) -> str:
        """The name of a constant."""
        return self.weight(np.array(value, np.float32))

    def model(self, given: Any, outputs: Sequence[Any], name: str) -> bytes:
        """The graph as ONNX bytes, checked."""
        graph = onnx.helper.make_graph(
            self.nodes, name, _listed(given), list(outputs), self.weights
        )
        opsets = [onnx.helper.make_opsetid("", OPSET)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, producer_name="framegate")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list) else [given]


def add_backbone(parts: GraphParts, weights: Weights, given: str, stages: int) -> list[str]:
    """The maps of the first `stages` stages for `given` (1, 3, h, w) float32, RGB, less `MEAN`, by
    `DEVIATION`; sides are multiples of 32.
    """
    at = _convolution(parts, weights, given, "_conv_stem", "_bn0", stride=2)
    at = parts.relu6(at)
    maps, number = [], 0
    for stage in _STAGES[:stages]:
        for again in range(stage.repeats):
            stride = 1 if again else stage.stride
            at = _block(parts, weights, at, f"_blocks.{number}", stride)
            number += 1
        maps.append(at)
    return maps


def _block(parts: GraphParts, weights: Weights, given: str, name: str, stride: int) -> str:
    """An inverted bottleneck: widened, each channel convolved by itself, narrowed; added to what
    came in where it has the same shape.
    """
    at = given
    if f"{name}._expand_conv.weight" in weights:
        at = parts.relu6(_convolution(parts, weights, at, f"{name}._expand_conv", f"{name}._bn0"))
    deep, bn = f"{name}._depthwise_conv", f"{name}._bn1"
    channels = int(weights[f"{deep}.weight"].shape[0])
    at = parts.relu6(_convolution(parts, weights, at, deep, bn, stride=stride, groups=channels))
    at = _convolution(parts, weights, at, f"{name}._project_conv", f"{name}._bn2")
    first = weights.get(f"{name}._expand_conv.weight", weights[f"{deep}.weight"])
    came = int(first.shape[1] if f"{name}._expand_conv.weight" in weights else first.shape[0])
    if stride == 1 and came == int(weights[f"{name}._project_conv.weight"].shape[0]):
        at = parts.node("Add", [at, given])
    return at


def _convolution(
    parts: GraphParts,
    weights: Weights,
    given: str,
    name: str,
    normalisation: str,
    *,
    stride: int = 1,
    groups: int = 1,
) -> str:
    """A convolution with its batch normalisation in it. Sides are padded as the backbone was
    trained: with stride 2 and even sides, one more after than before.
    """
    kernel = np.asarray(weights[f"{name}.weight"], np.float64)
    scale = weights[f"{normalisation}.weight"] / np.sqrt(
        weights[f"{normalisation}.running_var"].astype(np.float64) + _EPSILON
    )
    bias = weights[f"{normalisation}.bias"] - weights[f"{normalisation}.running_mean"] * scale
    side = int(kernel.shape[-1])
    whole = side - stride
    before, after = whole // 2, whole - whole // 2
    return parts.node(
        "Conv",
        [
            given,
            parts.weight((kernel * scale[:, None, None, None]).astype(np.float32)),
            parts.weight(np.asarray(bias, np.float32)),
        ],
        kernel_shape=[side, side],
        strides=[stride, stride],
        group=groups,
        pads=[before, before, after, after],
    )
