"""What a network may be: looked at as data, before any runtime executes or allocates for it (N104,
N105).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import onnx

from framegate.errors import Malformed, Reason
from framegate_gateway.inference.layouts import ANY, Kind
from framegate_gateway.inference.recipe import Recipe, Tensor

INPUT: Final = "pair"
OUTPUTS: Final = ("heat", "geometry")
MAX_NODES: Final = 20_000
"""A hundred times what detectors of a camera's frame rate have."""
_STANDARD: Final = frozenset({"", "ai.onnx"})


def parse_network(model: bytes) -> Any:
    """The ONNX bytes as a network that may be looked at further.

    1. they parse as ONNX, with at most `MAX_NODES` nodes;
    2. every operator is a standard one: no custom domain, no local function;
    3. every weight is in the file: no path to another;
    4. every weight is a finite number.

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
    for tensor in tensors_of(proto.graph):
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
    return proto


def verify_network(model: bytes, recipe: Recipe) -> None:
    """That the ONNX bytes are a network that can be run as `recipe` says: checks 1 to 4 of
    `parse_network`, and the fifth of `verify_graph` or of `_verify_picture`, by its kind. Raises
    Malformed (MODEL_GRAPH).
    """
    if recipe.kind == Kind.PAIR:
        verify_graph(model, len(recipe.classes))
    elif recipe.examined is not None:
        proto = parse_network(model)
        _require_inputs(proto, {recipe.row.name: recipe.row})
        _require_outputs(proto, recipe)
    else:
        _verify_picture(parse_network(model), recipe)


def verify_graph(model: bytes, classes: int) -> None:
    """That the ONNX bytes are a pair's network for `classes` classes: checks 1 to 4 of
    `parse_network`, and

    5. one input, `pair` (n, 2, h, w) float32, and the outputs `heat` (n, classes, …) and `geometry`
       (n, 4, …), no others.

    Raises Malformed (MODEL_GRAPH).
    """
    proto = parse_network(model)
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


def _verify_picture(proto: Any, recipe: Recipe) -> None:
    """5. The network's inputs are those of the recipe, each of its type and shape; of its outputs,
    the recipe's are there, each once, of their type, and of a shape that agrees. Other outputs are
    never asked for.
    """
    given = recipe.picture_input
    wanted = {given.name: Tensor(given.name, given.shape, given.type)}
    if given.sizes:
        wanted[given.sizes] = Tensor(given.sizes, (1, 2), "int64")
    _require_inputs(proto, wanted)
    _require_outputs(proto, recipe)


def _require_inputs(proto: Any, wanted: Mapping[str, Tensor]) -> None:
    tensors = inputs_of(proto)
    if sorted(t.name for t in tensors) != sorted(wanted):
        came = ascii([t.name for t in tensors][:4])
        raise Malformed.of(Reason.MODEL_GRAPH, f"the inputs {', '.join(wanted)}", came)
    for tensor in tensors:
        _require_agreement(wanted[tensor.name], tensor)


def _require_outputs(proto: Any, recipe: Recipe) -> None:
    outputs = outputs_of(proto)
    for tensor in recipe.picture_output.tensors:
        named = [t for t in outputs if t.name == tensor.name]
        if len(named) != 1:
            came = ascii([t.name for t in outputs][:8])
            raise Malformed.of(Reason.MODEL_GRAPH, f"the output {ascii(tensor.name)[:60]}", came)
        _require_agreement(tensor, named[0])


def _require_agreement(wanted: Tensor, came: Tensor) -> None:
    agrees = not came.shape or (
        len(came.shape) == len(wanted.shape)
        and all(a == b or ANY in {a, b} for a, b in zip(came.shape, wanted.shape, strict=True))
    )
    if came.type != wanted.type or not agrees:
        raise Malformed.of(
            Reason.MODEL_GRAPH,
            f"{ascii(wanted.name)[:60]} as {wanted.type} {list(wanted.shape)}",
            f"{came.type} {list(came.shape)}",
            "the recipe is of another network",
        )


def inputs_of(proto: Any) -> tuple[Tensor, ...]:
    """A network's inputs, weights left out: sides without a number are `ANY`."""
    weights = {t.name for t in proto.graph.initializer}
    return tuple(_tensor(i) for i in proto.graph.input if i.name not in weights)


def outputs_of(proto: Any) -> tuple[Tensor, ...]:
    """A network's outputs; of one whose shape is not declared, the shape is empty."""
    return tuple(_tensor(o) for o in proto.graph.output)


def _tensor(value: Any) -> Tensor:
    kind = value.type.tensor_type
    name = str(onnx.TensorProto.DataType.Name(kind.elem_type)).lower()
    sides = tuple(d.dim_value if d.dim_value > 0 else ANY for d in kind.shape.dim)
    return Tensor(value.name, sides, {"float": "float32"}.get(name, name))


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _nodes(inner)


def tensors_of(graph: Any) -> Iterator[Any]:
    """Every tensor of a graph and of the graphs within it: weights, constants, parts of both."""
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
                yield from tensors_of(inner)
