"""Networks that are no detectors: blind ones, and such as a gateway must refuse. For tests and the attack campaign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def network(
    nodes: Sequence[Any] = (), *, initializers: Sequence[Any] = (), inputs: Sequence[Any] = (), outputs: Sequence[Any] = (), domains: Sequence[tuple[str, int]] = (("", 17),)
) -> bytes:
    """An ONNX file, by default of one convolution for each output whose weights are zero: it parses, runs, and sees nothing."""
    heat, geometry = np.zeros((6, 2, 8, 8), np.float32), np.zeros((4, 2, 8, 8), np.float32)
    nodes = nodes or [helper.make_node("Conv", ["pair", w], [o], kernel_shape=[8, 8], strides=[8, 8]) for w, o in (("wh", "heat"), ("wg", "geometry"))]
    initializers = initializers or [numpy_helper.from_array(heat, "wh"), numpy_helper.from_array(geometry, "wg")]
    graph = helper.make_graph(nodes, "g", inputs or [value("pair", 2)], outputs or [value("heat", 6), value("geometry", 4)], initializers)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid(d, v) for d, v in domains], ir_version=9).SerializeToString())


def value(name: str, channels: int, kind: int = TensorProto.FLOAT) -> Any:
    """A graph's input or output (n, channels, h, w)."""
    return helper.make_tensor_value_info(name, kind, ["n", channels, "h", "w"])
