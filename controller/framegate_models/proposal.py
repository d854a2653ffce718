"""A recipe for a network that another tool exported: proposed from names, shapes, and what it says
to one picture; every member can be told otherwise.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np

from framegate.errors import Malformed, Reason
from framegate.wire import sha256
from framegate_gateway.inference.layouts import (
    ANY,
    LAYOUTS,
    MASK_NUMBERS,
    Kind,
    Layout,
    layouts_of,
    pattern_of,
)
from framegate_gateway.inference.recipe import Output, PictureInput, Recipe, Tensor, verify_recipe
from framegate_gateway.inference.recipe_json import parse_recipe, recipe_body
from framegate_models.foreign_graph import ForeignGraph

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Final = (0.229, 0.224, 0.225)
USUAL_PX: Final[Mapping[Kind, int]] = {
    Kind.DETECTION: 640,
    Kind.CLASSIFICATION: 224,
    Kind.SEGMENTATION: 512,
    Kind.ANOMALY: 256,
}
"""Side of the input where the network takes any, as its kind is usually trained."""
FIRST_THRESHOLD: Final = 0.5
_DIVIDED: Final[dict[str, Any]] = {"divide": 255.0, "mean": (0.0,), "deviation": (1.0,)}
_IMAGENET: Final[dict[str, Any]] = {
    "divide": 255.0,
    "mean": IMAGENET_MEAN,
    "deviation": IMAGENET_DEVIATION,
}
_RAW: Final[dict[str, Any]] = {"divide": 1.0, "mean": (0.0,), "deviation": (1.0,)}
PREPARATIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "from 0 to 1": _DIVIDED,
    "by ImageNet's mean and deviation": _IMAGENET,
    "from 0 to 255": _RAW,
}
"""How values are usually made ready, by name."""
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "boxes": ("box", "dets"),
    "scores": ("score", "prob", "conf"),
    "classes": ("class", "label"),
    "number": ("num",),
    "logits": ("logit", "label", "score", "class"),
    "score": ("score",),
    "heat map": ("map", "heat"),
    "mask prototypes": ("proto", "mask"),
}
"""What outputs are usually called, by their role."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person said: kind, class names in the network's order, those that are no defect;
    the rest where they want it otherwise than proposed. `members` are of the recipe, by
    `input.fit`-like names.
    """

    kind: Kind
    classes: tuple[str, ...]
    good: tuple[str, ...] = ()
    name: str = "imported"
    version: int = 1
    layout: str = ""
    size: tuple[int, int] | None = None
    threshold: float | None = None
    members: Mapping[str, Any] = field(default_factory=dict)

    def says(self, *members: str) -> bool:
        """Whether any of these members was told."""
        return any(member in self.members for member in members)


def parse_members(told: Sequence[str]) -> dict[str, Any]:
    """`input.fit=letterbox`-like arguments by member; values are JSON, or text where they are none.
    Raises Malformed (USAGE).
    """
    members: dict[str, Any] = {}
    for one in told:
        name, equals, value = one.partition("=")
        if not equals or not name:
            hint = "--set input.fit=letterbox"
            raise Malformed.of(Reason.USAGE, "--set MEMBER=VALUE", ascii(one)[:80], hint)
        try:
            members[name] = json.loads(value)
        except ValueError:
            members[name] = value
    return members


def proposed_input(graph: ForeignGraph, wish: Wish) -> PictureInput:
    """How a frame becomes the network's input. Raises Malformed (MODEL_GRAPH) where none of its
    inputs is a picture.
    """
    pictures = [t for t in graph.inputs if len(t.shape) in {3, 4}]
    others = [t for t in graph.inputs if t not in pictures]
    sizes = [t for t in others if t.type == "int64" and len(t.shape) == 2]
    if len(pictures) != 1 or len(others) != len(sizes) or len(sizes) > 1:
        came = ", ".join(f"{t.name} {t.type} {list(t.shape)}" for t in graph.inputs)
        raise _unfit("one input that is a picture, and at most one that is told sizes", came)
    tensor = pictures[0]
    layout, colours, height, width = _sides_of(tensor)
    usual = USUAL_PX[wish.kind]
    wide, high = wish.size or (width if width > 0 else usual, height if height > 0 else usual)
    if tensor.type not in {"float32", "uint8"}:
        raise _unfit("an input of float32 or uint8", f"{tensor.name} {tensor.type}")
    plain = wish.kind == Kind.ANOMALY or wish.kind == Kind.DETECTION
    values = _RAW if tensor.type == "uint8" else _DIVIDED if plain or colours == 1 else _IMAGENET
    return PictureInput(
        tensor.name,
        wide,
        high,
        layout,
        "grey" if colours == 1 else "rgb",
        tensor.type,
        fit="letterbox" if wish.kind == Kind.DETECTION and not sizes else "stretch",
        sizes=sizes[0].name if sizes else "",
        **values,
    )


class _Sides(NamedTuple):
    layout: str
    colours: int
    height: int
    width: int


def _sides_of(tensor: Tensor) -> _Sides:
    shape = tensor.shape
    if len(shape) == 3 and shape[0] in {1, 3}:
        return _Sides("chw", *shape)
    if len(shape) == 4 and shape[0] in {1, ANY} and shape[1] in {1, 3}:
        return _Sides("nchw", *shape[1:])
    if len(shape) == 4 and shape[0] in {1, ANY} and shape[3] in {1, 3}:
        return _Sides("nhwc", shape[3], shape[1], shape[2])
    raise _unfit(
        "a picture of 1 or 3 colours, one at a time", f"{tensor.name} {list(tensor.shape)}"
    )


def proposed_output(
    graph: ForeignGraph, wish: Wish, said: Mapping[str, Any], given: PictureInput
) -> Output:
    """What the network's answer means; `said` are its outputs to one picture, by name. Raises
    Malformed (USAGE) for a layout that there is not, (MODEL) where none of the kind fits, or more
    than one does.
    """
    known = [layout.name for layout in layouts_of(wish.kind)]
    if wish.layout and wish.layout not in known:
        hint = "leave it out: where one alone fits, it is taken"
        came = ascii(wish.layout)[:40]
        raise Malformed.of(Reason.USAGE, f"--layout {', '.join(known)}", came, hint)
    fitting: dict[str, tuple[Tensor, ...]] = {}
    for layout in layouts_of(wish.kind):
        tensors = _roles(layout, graph, wish, said)
        if tensors is not None and wish.layout in {"", layout.name}:
            fitting[layout.name] = tensors
    # the layout that reads most of the outputs: what a network says besides is said on purpose
    most = max((len(tensors) for tensors in fitting.values()), default=0)
    fitting = {name: tensors for name, tensors in fitting.items() if len(tensors) == most}
    if len(fitting) != 1:
        raise _no_layout(graph, wish, said, fitting)
    name, tensors = next(iter(fitting.items()))
    box, units, first = {
        "yolov5": ("cxcywh", "pixels", 0),
        "yolov8": ("cxcywh", "pixels", 0),
        "yolov5-seg": ("cxcywh", "pixels", 0),
        "yolov8-seg": ("cxcywh", "pixels", 0),
        "detr": ("cxcywh", "fractions", 0),
        "detr-sigmoid": ("cxcywh", "fractions", 0),
        "counted": ("yxyx", "fractions", 1),
        "boxes-scores-labels": ("xyxy", "pixels", 0 if given.sizes else 1),
    }.get(name, ("xyxy", "pixels", 0))
    activation = _activation(LAYOUTS[name], [said[t.name] for t in tensors])
    return Output(name, tensors, activation, box, units, first)


def _roles(
    layout: Layout, graph: ForeignGraph, wish: Wish, said: Mapping[str, Any]
) -> tuple[Tensor, ...] | None:
    """The network's outputs in the layout's roles, best named first; None where they do not fit."""
    best: tuple[int, tuple[Tensor, ...]] | None = None
    for chosen in itertools.permutations(graph.outputs, len(layout.roles)):
        tensors, named = [], 0
        for role, tensor in zip(layout.roles, chosen, strict=True):
            array = said[tensor.name]
            pattern = pattern_of(role, array.shape, len(wish.classes))
            whole = role.integer and str(array.dtype) in {"int64", "int32"}
            if pattern is None or not (str(array.dtype) == "float32" or whole):
                break
            named += any(part in tensor.name.lower() for part in _NAMES.get(role.what, ()))
            declared = tensor.shape or (ANY,) * len(pattern)
            # a side is fixed where the network or the layout fixes it; rows may come and go
            shape = tuple(
                ANY if side == ANY and wanted == "*" else came
                for side, wanted, came in zip(declared, pattern, array.shape, strict=True)
            )
            tensors.append(Tensor(tensor.name, shape, str(array.dtype)))
        else:
            if best is None or named > best[0]:
                best = named, tuple(tensors)
    return None if best is None else best[1]


def _activation(layout: Layout, arrays: Sequence[Any]) -> str:
    """What turns the numbers into probabilities: none where they are some already."""
    if layout.name == "yolov5":
        values = arrays[0][0, :, 4:]
    elif layout.name == "yolov8":
        values = arrays[0][0, 4:]
    elif layout.name == "yolov5-seg":
        values = arrays[0][0, :, 4:-MASK_NUMBERS]
    elif layout.name == "yolov8-seg":
        values = arrays[0][0, 4:-MASK_NUMBERS]
    else:
        values = arrays[0]
    between = values.size == 0 or bool(((values >= 0) & (values <= 1)).all())
    if layout.name in {"scores", "maps"}:
        axis = -1 if layout.name == "scores" else -3
        shares = between and bool(np.abs(values.sum(axis=axis) - 1).max() < 0.01)
        return "none" if shares else "sigmoid" if between else "softmax"
    if "none" in layout.activations and (between or "sigmoid" not in layout.activations):
        return "none"
    if layout.kind == Kind.ANOMALY:
        return "none"  # raw distances; a range brings them to [0, 1]
    return layout.activations[0] if layout.activations[0] != "none" else "sigmoid"


def proposed_recipe(graph: ForeignGraph, wish: Wish, given: PictureInput, output: Output) -> Recipe:
    """All of it as a recipe, with what the person told, checked as a gateway will check it. Raises
    Malformed (MODEL).
    """
    good = wish.good
    recipe = Recipe(
        wish.name,
        wish.version,
        wish.classes,
        wish.threshold or FIRST_THRESHOLD,
        1,
        (1.0, 0.0),
        wish.kind,
        good,
        "registered",
        given,
        output,
    )
    return with_members(verify_recipe(recipe), wish.members, sha256(graph.model).hex())


def with_members(recipe: Recipe, members: Mapping[str, Any], model_sha256: str) -> Recipe:
    """`recipe` with members told otherwise, as JSON would have them. Raises Malformed (USAGE)."""
    if not members:
        return recipe
    body = recipe_body(recipe, model_sha256)
    for name, value in members.items():
        room, _, last = name.rpartition(".")
        inside = body.get(room) if room else body
        if not isinstance(inside, dict) or last not in inside or last in {"tensors", "kind"}:
            known = ", ".join(
                [f"input.{m}" for m in body["input"]] + [f"output.{m}" for m in body["output"]]
            )
            hint = "--set MEMBER=VALUE with one of these"
            raise Malformed.of(Reason.USAGE, f"place, {known}", ascii(name)[:60], hint)
        inside[last] = value
    try:
        return parse_recipe(json.dumps(body).encode(), model_sha256)
    except Malformed as error:
        # without them it was verified: what is wrong was told
        told = " ".join(f"--set {name}={json.dumps(value)}" for name, value in members.items())
        hint = "tell it otherwise, or leave it out"
        raise Malformed.of(
            Reason.USAGE, error.failures[0].expected, ascii(told)[1:-1][:200], hint
        ) from error


def prepared_otherwise(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """`recipe` with values made ready another way (`PREPARATIONS`)."""
    mean = values["mean"] if recipe.picture_input.channels == 3 else values["mean"][:1]
    deviation = values["deviation"][: len(mean)]
    given = replace(recipe.picture_input, divide=values["divide"], mean=mean, deviation=deviation)
    return replace(recipe, input=given)


def _no_layout(
    graph: ForeignGraph, wish: Wish, said: Mapping[str, Any], fitting: Mapping[str, Any]
) -> Malformed:
    came = ", ".join(
        f"{t.name} {said[t.name].dtype} {list(said[t.name].shape)}" for t in graph.outputs
    )
    if fitting:
        hint = f"--layout {' or --layout '.join(fitting)}"
        return Malformed.of(Reason.MODEL, "outputs that one layout alone fits", came[:300], hint)
    layouts = ", ".join(layout.name for layout in layouts_of(wish.kind))
    return Malformed.of(
        Reason.MODEL,
        f"outputs of {wish.kind} for {len(wish.classes)} classes: {wish.layout or layouts}",
        came[:300],
        "is it of another kind? Name each --class of the network, in its order",
    )


def _unfit(expected: str, came: object) -> Malformed:
    return Malformed.of(Reason.MODEL_GRAPH, expected, came, "export it with one picture as input")
