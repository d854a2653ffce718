"""The network in eight-bit integers: two to three times as fast on a processor, kept only where it
sees as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from framegate_models.sampling import LabelledPair

CALIBRATION_PAIRS: Final = 80
"""Pairs whose activations give the ranges; more hardly move them."""
MAX_LOSS: Final = 0.003
"""Pooled average precision that quantisation may cost; a model that loses more stays in floating
point.
"""


def quantised(network: bytes, pairs: Sequence[LabelledPair]) -> bytes:
    """`network` with weights in int8 by channel and activations in uint8, ranges measured on the
    first `CALIBRATION_PAIRS` of `pairs`; the last layer stays in floating point.

    Plain QuantizeLinear and DequantizeLinear around each layer, operators of the ONNX standard
    alone. Normalisation is folded into the convolutions first.
    """
    return in_eight_bits(network, _pairs(pairs), ("Conv", "Add", "Relu"), lambda names: names[-1:])


def in_eight_bits(
    network: bytes,
    feeds: Iterable[Mapping[str, Any]],
    operators: Sequence[str],
    kept: Callable[[Sequence[str]], Sequence[str]] = lambda _names: (),
) -> bytes:
    """`network` with its `operators` in eight bits, ranges measured on `feeds`; of its
    convolutions, by name in their order, those that `kept` gives back stay in floating point.
    """
    with tempfile.TemporaryDirectory() as folder:
        folded, done = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        options.log_severity_level = 3
        ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        ready = onnx.load(str(folded))
        convolutions = [node.name for node in ready.graph.node if node.op_type == "Conv"]
        # that the runtime folded it is all the preparation that it asks for
        ready.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
        onnx.save(ready, str(folded))
        quantize_static(
            str(folded),
            str(done),
            _Feeds(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(operators),
            nodes_to_exclude=list(kept(convolutions)),
            calibrate_method=CalibrationMethod.MinMax,
        )
        model = onnx.load(str(done))
    used = {node.domain for node in model.graph.node}
    listed = [
        o for o in model.opset_import if o.domain in {"", "ai.onnx"} or o.domain in used
    ]  # the runtime lists all it knows
    del model.metadata_props[:]
    del model.opset_import[:]
    model.opset_import.extend(listed)
    return bytes(model.SerializeToString())


def _pairs(pairs: Sequence[LabelledPair]) -> Iterable[Mapping[str, Any]]:
    """The network's input of each of the first pairs."""
    for pair in pairs[:CALIBRATION_PAIRS]:
        h, w = (side // 32 * 32 for side in pair.frame.shape)
        stacked = np.stack([pair.frame[:h, :w], pair.golden[:h, :w]])
        yield {"pair": stacked[None].astype(np.float32) / 255}


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    """Inputs as the runtime asks for them."""

    def __init__(self, feeds: Iterable[Mapping[str, Any]]) -> None:
        self._left = iter(feeds)

    def get_next(self) -> Mapping[str, Any] | None:
        """The next one; None after the last."""
        return next(self._left, None)
