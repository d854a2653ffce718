"""Recipes: what is written is read back to the same, and no JSON raises anything but our errors."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed
from framegate_gateway.inference.layouts import ANY, LAYOUTS, Kind
from framegate_gateway.inference.recipe import (
    PLACES,
    Output,
    PictureInput,
    Recipe,
    Tensor,
    verify_recipe,
)
from framegate_gateway.inference.recipe_json import parse_recipe, recipe_body

MODEL = "ab" * 32
NAMES = st.from_regex(r"[a-z][a-z0-9.-]{0,10}", fullmatch=True)
SCORES = st.floats(0.01, 0.99)
VALUES = st.floats(-1e6, 1e6)
ODD = [None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**400), 0.5, -0.0, 1e308, 5e-324]
ODD += [float("inf"), float("nan"), "", "a", "pair", "rgb", "\ud800", "x" * 300]
ODD += [[], [0], [1, 2], [[]], [None], ["a", "a"], [10**400, 0], {}, {"": 0}, {"name": "a"}]
FEW = settings(max_examples=50)
"""Whole recipes are drawn anew each time, which takes milliseconds."""


@st.composite
def inputs(draw):
    """What frames are brought to."""
    colour = draw(st.sampled_from(["rgb", "bgr", "grey"]))
    channels = draw(st.sampled_from([1, 1 if colour == "grey" else 3]))
    kind = draw(st.sampled_from(["float32", "uint8"]))
    plain = kind == "uint8"
    several = {"min_size": channels, "max_size": channels}
    return PictureInput(
        draw(st.text(min_size=1, max_size=20)),
        draw(st.integers(8, 1024)),
        draw(st.integers(8, 1024)),
        draw(st.sampled_from(["nchw", "nhwc", "chw"])),
        colour,
        kind,
        1.0 if plain else draw(st.floats(1e-3, 1e6)),
        (0.0,) if plain else tuple(draw(st.lists(VALUES, **several))),
        (1.0,) if plain else tuple(draw(st.lists(st.floats(1e-6, 1e6), **several))),
        draw(st.sampled_from(["stretch", "letterbox"])),
        draw(st.integers(0, 255)),
        draw(st.text(max_size=20)),
    )


@st.composite
def outputs(draw, kind, classes):
    """What a network of the kind answers, in one of its layouts."""
    layout = draw(st.sampled_from([one for one in LAYOUTS.values() if one.kind == kind]))
    tensors = []
    for role in layout.roles:
        shape = []
        for side in draw(st.sampled_from(role.shapes)).split():
            if side == "*":
                shape.append(draw(st.sampled_from([ANY, 1, 7])))
            elif side.startswith("c"):
                shape.append(classes + int(side[2:] or 0))
            else:
                shape.append(int(side))
        number = draw(st.sampled_from(["float32", "int64"] if role.integer else ["float32"]))
        tensors.append(Tensor(draw(st.text(max_size=9)), tuple(shape), number))
    said = {}
    if kind == Kind.DETECTION:
        said["box"] = draw(st.sampled_from(["xyxy", "cxcywh", "yxyx"]))
        said["units"] = draw(st.sampled_from(["pixels", "fractions"]))
        said["overlap"] = draw(st.floats(0.05, 0.95))
        said["first_label"] = draw(st.integers(0, 1))
    if kind in {Kind.SEGMENTATION, Kind.ANOMALY}:
        said["least_px"] = draw(st.integers(1, 1000))
    if kind == Kind.ANOMALY:
        low = draw(st.floats(-100, 100))
        said["range"] = (low, low + draw(st.floats(0.1, 100)))
        said["heat_threshold"] = draw(SCORES)
    return Output(layout.name, tuple(tensors), draw(st.sampled_from(layout.activations)), **said)


@st.composite
def recipes(draw):
    """Recipes of every kind that hold together."""
    kind = draw(st.sampled_from(list(Kind)))
    count = 1 if kind == Kind.ANOMALY else draw(st.integers(2, 6))
    classes = tuple(draw(st.lists(NAMES, min_size=count, max_size=count, unique=True)))
    calibration = draw(st.floats(1e-3, 100)), draw(st.floats(-100, 100))
    named = draw(NAMES), draw(st.integers(1, 2**31 - 1)), classes, draw(SCORES)
    if kind == Kind.PAIR:
        return verify_recipe(Recipe(*named, draw(st.integers(1, 1024)), calibration))
    good = classes[:1] if kind in {Kind.CLASSIFICATION, Kind.SEGMENTATION} else ()
    place = draw(st.sampled_from(sorted(PLACES)))
    answer = draw(outputs(kind, count))
    return verify_recipe(Recipe(*named, 1, calibration, kind, good, place, draw(inputs()), answer))


def places(value, path=()):
    """The path to each member and element of a JSON value, its own first."""
    yield path
    if isinstance(value, dict | list):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in members:
            yield from places(inner, (*path, name))


def changed(body, path, value):
    """A copy of `body` with `value` at `path`."""
    if not path:
        return value
    copied = copy.deepcopy(body)
    at = copied
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return copied


@FEW
@given(recipes())
def test_a_recipe_is_read_back_to_the_same(recipe):
    body = recipe_body(recipe, MODEL)
    assert parse_recipe(json.dumps(body).encode(), MODEL) == recipe


@settings(max_examples=120)
@given(recipes(), st.integers(0, len(ODD) - 1), st.data())
def test_a_recipe_with_anything_at_any_place_is_one_or_is_refused_in_words(recipe, odd, data):
    body, value = recipe_body(recipe, MODEL), ODD[odd]
    path = data.draw(st.sampled_from(list(places(body))))
    try:
        read = parse_recipe(json.dumps(changed(body, path, value)).encode(), MODEL)
    except FramegateError as error:
        assert "expected" in str(error)
    else:  # what it takes, it writes again, and that is the same
        assert parse_recipe(json.dumps(recipe_body(read, MODEL)).encode(), MODEL) == read


@FEW
@given(recipes(), st.data())
def test_a_recipe_that_lacks_a_member_or_has_one_more_is_refused(recipe, data):
    body = recipe_body(recipe, MODEL)
    # the calibration alone may be missing: it is 1, 0 then
    names = sorted(set(body) - {"calibration", "kind"})
    name = data.draw(st.sampled_from(names))
    for wrong in ({k: v for k, v in body.items() if k != name}, body | {"more": 1}):
        with pytest.raises(Malformed):
            parse_recipe(json.dumps(wrong).encode(), MODEL)


@FEW
@given(recipes())
def test_a_recipe_is_for_one_model(recipe):
    body = recipe_body(recipe, MODEL)
    with pytest.raises(Malformed, match="another recipe"):
        parse_recipe(json.dumps(body).encode(), "cd" * 32)


@pytest.mark.parametrize("digits", [400, 5000], ids=["overflows", "past-what-python-reads"])
@pytest.mark.parametrize("member", ["threshold", "version", "calibration"])
def test_numbers_of_hundreds_of_digits_are_refused_in_words(member, digits):
    recipe = Recipe("a", 1, ("b",), 0.5, 32)
    written = json.dumps(recipe_body(recipe, MODEL) | {member: "HERE"})
    huge = "9" * digits
    value = f"[{huge}, 0]" if member == "calibration" else huge
    with pytest.raises(Malformed):
        parse_recipe(written.replace('"HERE"', value).encode(), MODEL)
