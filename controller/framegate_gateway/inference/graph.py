"""What a network may be: looked at as data, before any runtime executes or allocates for it (N104,
N105).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import onnx

from framegate.errors import Malformed, Reason

INPUT: Final = "pair"
OUTPUTS: Final = ("heat", "geometry")
MAX_NODES: Final = 20_000
"""A hundred times what detectors of a camera's frame rate have."""
_STANDARD: Final = frozenset({"", "ai.onnx"})


def verify_graph(model: bytes, classes: int) -> None:  # noqa: C901 - ordered steps, read best in one piece
    """That the ONNX bytes are a network that can be run for `classes` classes.

    1. they parse as ONNX, with at most `MAX_NODES` nodes;
    2. every operator is a standard one: no custom domain, no local function;
    3. every weight is in the file: no path to another;
    4. every weight is a finite number;
    5. one input, `pair` (n, 2, h, w) float32, and the outputs `heat` (n, classes, …) and `geometry`
       (n, 4, …), no others.

    Raises Malformed (MODEL_GRAPH).
    """
    try:  # 1
        proto = onnx.load_model_from_string(model)
    except Exception as error:
        raise Malformed.of(
            Reason.MODEL_GRAPH,
            "an ONNX model",
            type(error).__name__,
            "the file is no ONNX file, or cut off",
        ) from error
    nodes = list(_nodes(proto.graph))
    if not nodes or len(nodes) > MAX_NODES:
        raise Malformed.of(Reason.MODEL_GRAPH, f"1 to {MAX_NODES} nodes", len(nodes))
    names = (
        [w for n in nodes for w in (n.op_type, n.domain)]
        + [o.domain for o in proto.opset_import]
        + [f.name for f in proto.functions]
    )
    if not all(type(w) is str for w in names):  # protobuf hands out bytes where a name is not UTF-8
        raise Malformed.of(
            Reason.MODEL_GRAPH,
            "names of operators as text",
            "other bytes",
            "the file was damaged or made up",
        )
    domains = {o.domain for o in proto.opset_import} | {n.domain for n in nodes}  # 2
    strange = (
        sorted(domains - _STANDARD)
        + [f.name for f in proto.functions]
        + sorted({n.op_type for n in nodes if not onnx.defs.has(n.op_type)})
    )
    if strange:
        raise Malformed.of(
            Reason.MODEL_GRAPH,
            "standard ONNX operators alone",
            f"custom operator or domain {ascii(strange[0])[:80]}",
            "export it without custom operators",
        )
    for tensor in _tensors(proto.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:  # 3
            place = next((e.value for e in tensor.external_data if e.key == "location"), "")
            raise Malformed.of(
                Reason.MODEL_GRAPH,
                "weights inside the model file",
                f"a path, {ascii(place)[:80]}",
                "export it as one file",
            )
        if tensor.data_type in {
            onnx.TensorProto.FLOAT,
            onnx.TensorProto.DOUBLE,
            onnx.TensorProto.FLOAT16,
        }:  # 4
            try:
                values = onnx.numpy_helper.to_array(tensor)
            except Exception as error:
                raise Malformed.of(
                    Reason.MODEL_GRAPH,
                    f"weights {ascii(tensor.name)[:60]} of their shape",
                    type(error).__name__,
                ) from error
            if not bool(np.isfinite(values).all()):
                raise Malformed.of(
                    Reason.MODEL_GRAPH,
                    f"weights {ascii(tensor.name)[:60]} that are numbers",
                    "NaN or infinity",
                    "training diverged, or the file was tampered with",
                )
    weights = {t.name for t in proto.graph.initializer}
    inputs, outputs = (
        [i for i in proto.graph.input if i.name not in weights],
        list(proto.graph.output),
    )  # 5
    if [i.name for i in inputs] != [INPUT] or tuple(o.name for o in outputs) != OUTPUTS:
        came = f"inputs {[i.name for i in inputs][:4]}, outputs {[o.name for o in outputs][:4]}"
        raise Malformed.of(
            Reason.MODEL_GRAPH,
            f"the input {INPUT} and the outputs {', '.join(OUTPUTS)}",
            ascii(came)[:160],
        )
    for value, channels in ((inputs[0], 2), (outputs[0], classes), (outputs[1], 4)):
        kind = value.type.tensor_type
        sides = [d.dim_value for d in kind.shape.dim]
        if (
            kind.elem_type != onnx.TensorProto.FLOAT
            or len(sides) != 4
            or sides[1] not in {channels, 0}
        ):
            raise Malformed.of(
                Reason.MODEL_GRAPH,
                f"{value.name} as float32 (n, {channels}, h, w)",
                f"type {kind.elem_type}, shape {sides[:6]}",
            )


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _tensors(inner)
