"""A network that another tool exported, as a bundle can hold it: one file, standard operators, no
local functions. What was changed is said; what it computes is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
import onnx.inliner

from framegate.errors import Malformed, Reason, Unavailable
from framegate_gateway.inference.bundle import MAX_MODEL_BYTES
from framegate_gateway.inference.graph import inputs_of, outputs_of, parse_network, tensors_of
from framegate_gateway.inference.recipe import Tensor

EXPORT_HINT: Final = "export it as ONNX: torch.onnx.export, yolo export, anomalib export"
_STANDARD: Final = ("", "ai.onnx")


@dataclass(frozen=True, slots=True)
class ForeignGraph:
    """The network's bytes, ready for a bundle; its inputs and outputs; `changes` in words."""

    model: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    changes: tuple[str, ...]


def read_graph(path: Path) -> ForeignGraph:
    """The network in an ONNX file, and in the files of weights beside it that it names.

    Weights are taken from the file's own folder alone. Raises Malformed (MODEL_GRAPH) for what no
    bundle may hold (`graph.parse_network`), Unavailable (MODEL) where the file cannot be read.
    """
    proto, changes = _read(path), []
    if any(map(_is_outside, tensors_of(proto.graph))):
        _embed(proto, path.parent)
        changes.append("weights that lay in files of their own are in the model file now")
    if len(proto.functions):
        proto = onnx.inliner.inline_local_functions(proto)
        changes.append("local functions are written out where they are called")
    unused = {o.domain for o in proto.opset_import} - {n.domain for n in proto.graph.node}
    spare = sorted(domain for domain in unused if domain not in _STANDARD)
    if spare:
        kept = [o for o in proto.opset_import if o.domain not in spare]
        del proto.opset_import[:]
        proto.opset_import.extend(kept)
        changes.append("names of operator sets that no operator is of are gone")
    if len(proto.metadata_props):
        del proto.metadata_props[:]
        changes.append("the exporter's remarks are gone")
    model = proto.SerializeToString()
    if len(model) > MAX_MODEL_BYTES:
        raise Malformed.of(Reason.MODEL, f"a model of at most {MAX_MODEL_BYTES} bytes", len(model))
    parsed = parse_network(model)
    return ForeignGraph(model, inputs_of(parsed), outputs_of(parsed), tuple(changes))


def _read(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        hint = "name the file that the exporter wrote"
        came = error.strerror or error
        raise Unavailable.of(Reason.MODEL, f"an ONNX file {path}", came, hint) from error
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:
        came = f"{path}: {type(error).__name__}"
        raise Malformed.of(Reason.MODEL_GRAPH, "an ONNX model", came, EXPORT_HINT) from error
    if not proto.graph.node:  # nothing at all reads as an empty one
        came = f"{path}: {len(data)} bytes without one"
        raise Malformed.of(Reason.MODEL_GRAPH, "an ONNX model with operators", came, EXPORT_HINT)
    return proto


def _is_outside(tensor: Any) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _embed(proto: Any, folder: Path) -> None:
    """Read weights that lie beside the file into it. Raises Malformed (MODEL_GRAPH)."""
    for tensor in filter(_is_outside, tensors_of(proto.graph)):  # of constants and branches, too
        place = next((e.value for e in tensor.external_data if e.key == "location"), "")
        beside = folder / place
        if Path(place).name != place or not place or beside.is_symlink() or not beside.is_file():
            raise Malformed.of(
                Reason.MODEL_GRAPH,
                "weights in a file beside the model",
                f"a path, {ascii(place)[:80]}",
                "export it as one file, or put its weights beside it",
            )
    try:
        onnx.external_data_helper.load_external_data_for_model(proto, str(folder))
    except Exception as error:
        raise Malformed.of(
            Reason.MODEL_GRAPH, "weights as large as the model says", type(error).__name__
        ) from error
