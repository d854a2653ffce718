"""The recipe as JSON: one encoding, its members exactly those of its kind."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.payload.kinds import BUILT_IN, Kinds
from framegate.signed.dsse import strict_json
from framegate_gateway.inference.layouts import ANY, Kind
from framegate_gateway.inference.recipe import (
    MAX_SIDES,
    OUTPUT_TYPES,
    PLACES,
    Output,
    PictureInput,
    Recipe,
    Tensor,
    verify_recipe,
)

MAX_NUMBER: Final = sys.float_info.max
_PAIR: Final = frozenset(
    {"name", "version", "classes", "threshold", "multiple_px", "model_sha256", "calibration"}
)
_PICTURE: Final = frozenset(
    {
        "name",
        "version",
        "kind",
        "classes",
        "good",
        "threshold",
        "calibration",
        "model_sha256",
        "place",
        "input",
        "output",
    }
)
_EXAMINED: Final = frozenset(_PICTURE - {"kind", "place"} | {"payload"})
"""Of a network that takes another kind of payload: scores for classes are what it gives."""
_INPUT: Final = frozenset(
    {
        "name",
        "layout",
        "width",
        "height",
        "colour",
        "type",
        "divide",
        "mean",
        "deviation",
        "fit",
        "fill",
        "sizes",
    }
)
_OF_ALL: Final = frozenset({"layout", "tensors", "activation"})
_OUTPUT: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.DETECTION: _OF_ALL | {"box", "units", "first_label", "overlap"},
    Kind.CLASSIFICATION: _OF_ALL,
    Kind.SEGMENTATION: _OF_ALL | {"least_px"},
    Kind.ANOMALY: _OF_ALL | {"least_px", "heat_threshold", "range"},
}


def parse_recipe(data: bytes, model_sha256: str, kinds: Kinds = BUILT_IN) -> Recipe:
    """The recipe in `data`, for the model of this digest (hex); `kinds` are those of payloads that
    are known here.

    1. it has the members of its kind and no others, each of its type; the input of a payload that
       is no picture, its kind has verified;
    2. it names this model;
    3. what it says is in range and holds together (`verify_recipe`).

    Raises Malformed (MODEL).
    """
    body = strict_json(data)
    try:  # 1
        if type(body) is not dict:
            raise ValueError("no object")
        if "payload" in body:
            recipe, named = _of_examined(body, kinds), _text(body["model_sha256"])
            return verify_recipe(_of_model(recipe, named, model_sha256))  # 2, 3
        kind = Kind(body.get("kind", Kind.PAIR))
        if not set(body) <= (_PAIR if kind == Kind.PAIR else _PICTURE) or (
            kind == Kind.PAIR and "kind" in body
        ):
            raise ValueError("other members")
        recipe, named = _of_body(kind, body), _text(body["model_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        members = [", ".join(sorted(one)) for one in (_PAIR, _PICTURE, _EXAMINED)]
        raise Malformed.of(
            Reason.MODEL,
            f"a recipe with {members[0]}, of a kind with {members[1]}, or of another payload with"
            f" {members[2]}",
            error,
        ) from error
    return verify_recipe(_of_model(recipe, named, model_sha256))  # 2, 3


def _of_model(recipe: Recipe, named: str, model_sha256: str) -> Recipe:
    if named != model_sha256:
        raise Malformed.of(
            Reason.MODEL,
            f"the model {named[:64]} that the recipe names",
            model_sha256,
            "the model file was changed or belongs to another recipe",
        )
    return recipe


def _of_examined(body: Mapping[str, Any], kinds: Kinds) -> Recipe:
    """A recipe of another kind of payload. Raises Malformed (MODEL), KeyError, TypeError or
    ValueError.
    """
    if set(body) != _EXAMINED or set(body["output"]) != {"name", "activation"}:
        raise ValueError(f"members {', '.join(sorted(_EXAMINED))}; output with name, activation")
    examined, given, answer = kinds.examined(_text(body["payload"])), body["input"], body["output"]
    examined.verify_input(given)
    classes = _texts(body["classes"])
    slope, offset = _numbers(body["calibration"])
    scores = Tensor(_text(answer["name"]), (1, len(classes)))
    return Recipe(
        _text(body["name"]),
        _integer(body["version"]),
        classes,
        _number(body["threshold"]),
        1,
        (slope, offset),
        Kind.CLASSIFICATION,
        _texts(body["good"]),
        PLACES[0],
        None,
        Output("scores", (scores,), _text(answer["activation"])),
        examined,
        given,
    )


def recipe_body(recipe: Recipe, model_sha256: str) -> dict[str, Any]:
    """The JSON object of a recipe, which `parse_recipe` reads back to the same."""
    body: dict[str, Any] = {"name": recipe.name, "version": recipe.version}
    if recipe.examined is not None:
        answer = recipe.picture_output
        return body | {
            "payload": recipe.payload,
            "classes": list(recipe.classes),
            "good": list(recipe.good),
            "threshold": recipe.threshold,
            "calibration": list(recipe.calibration),
            "model_sha256": model_sha256,
            "input": dict(recipe.given),
            "output": {"name": answer.tensors[0].name, "activation": answer.activation},
        }
    if recipe.kind != Kind.PAIR:
        body["kind"] = recipe.kind.value
    body["classes"] = list(recipe.classes)
    if recipe.kind == Kind.PAIR:
        body |= {"threshold": recipe.threshold, "multiple_px": recipe.multiple_px}
    else:
        body |= {"good": list(recipe.good), "threshold": recipe.threshold}
    body |= {"calibration": list(recipe.calibration), "model_sha256": model_sha256}
    if recipe.kind == Kind.PAIR:
        return body
    given, answer = recipe.picture_input, recipe.picture_output
    tensors = [{"name": t.name, "shape": list(t.shape), "type": t.type} for t in answer.tensors]
    return body | {
        "place": recipe.place,
        "input": {
            name: list(value) if isinstance(value := getattr(given, name), tuple) else value
            for name in sorted(_INPUT)
        },
        "output": {
            name: list(value) if isinstance(value := getattr(answer, name), tuple) else value
            for name in sorted(_OUTPUT[recipe.kind] - {"tensors"})
        }
        | {"tensors": tensors},
    }


def _of_body(kind: Kind, body: Mapping[str, Any]) -> Recipe:
    slope, offset = _numbers(body.get("calibration", (1.0, 0.0)))
    name, version = _text(body["name"]), _integer(body["version"])
    classes, threshold = _texts(body["classes"]), _number(body["threshold"])
    if kind == Kind.PAIR:
        multiple = _integer(body["multiple_px"])
        return Recipe(name, version, classes, threshold, multiple, (slope, offset))
    place = _text(body["place"])
    if place not in PLACES:
        raise ValueError(f"place {place!a}")
    return Recipe(
        name,
        version,
        classes,
        threshold,
        1,
        (slope, offset),
        kind,
        _texts(body["good"]),
        place,
        _input(body["input"]),
        _output(kind, body["output"]),
    )


def _input(body: Mapping[str, Any]) -> PictureInput:
    if type(body) is not dict or set(body) != _INPUT:
        raise ValueError(f"an input with {', '.join(sorted(_INPUT))}")
    return PictureInput(
        name=_text(body["name"]),
        width=_integer(body["width"]),
        height=_integer(body["height"]),
        layout=_text(body["layout"]),
        colour=_text(body["colour"]),
        type=_text(body["type"]),
        divide=_number(body["divide"]),
        mean=_numbers(body["mean"]),
        deviation=_numbers(body["deviation"]),
        fit=_text(body["fit"]),
        fill=_integer(body["fill"]),
        sizes=_text(body["sizes"]),
    )


def _output(kind: Kind, body: Mapping[str, Any]) -> Output:
    if type(body) is not dict or set(body) != _OUTPUT[kind]:
        raise ValueError(f"an output with {', '.join(sorted(_OUTPUT[kind]))}")
    tensors = []
    for row in body["tensors"]:
        if set(row) != {"name", "shape", "type"} or _text(row["type"]) not in OUTPUT_TYPES:
            raise ValueError(f"tensors with name, shape and a type of {sorted(OUTPUT_TYPES)}")
        shape = tuple(_integer(side) for side in row["shape"])
        if len(shape) > MAX_SIDES or any(side < ANY or side == 0 for side in shape):
            raise ValueError(f"shapes of at most {MAX_SIDES} sides, {ANY} for any")
        tensors.append(Tensor(_text(row["name"]), shape, _text(row["type"])))
    said: dict[str, Any] = {name: value for name, value in body.items() if name != "tensors"}
    for name, read in (
        ("first_label", _integer),
        ("least_px", _integer),
        ("overlap", _number),
        ("heat_threshold", _number),
    ):
        if name in said:
            said[name] = read(said[name])
    if "range" in said:
        low, high = _numbers(said["range"])
        said["range"] = (low, high)
    for name in ("layout", "activation", "box", "units"):
        if name in said:
            said[name] = _text(said[name])
    return Output(tensors=tuple(tensors), **said)


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError(f"a text, not {ascii(value)[:40]}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if type(value) is not list:
        raise TypeError(f"a list, not {ascii(value)[:40]}")
    return tuple(_text(one) for one in value)


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"a whole number, not {ascii(value)[:40]}")
    return value


def _number(value: object) -> float:
    # whole numbers past what a float holds are compared, not converted: that would overflow
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not abs(value) <= MAX_NUMBER
    ):
        raise TypeError(f"a number, not {ascii(value)[:40]}")
    return float(value)


def _numbers(value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"a list of numbers, not {ascii(value)[:40]}")
    return tuple(_number(one) for one in value)
