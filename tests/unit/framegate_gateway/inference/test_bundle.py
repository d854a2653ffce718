"""Model bundles: recipes, known answers, files."""

import json

import pytest

from framegate.errors import Malformed, Reason, Unavailable
from framegate_gateway.inference.bundle import (
    DEFAULT_BUNDLE,
    load_bundle,
    parse_bundle,
    read_bundle_files,
    write_bundle,
)
from framegate_simulators.boards.boards import CLASSES


def test_bundle_that_was_changed(tmp_path):
    for name in ("model.onnx", "recipe.json"):
        (tmp_path / name).write_bytes((DEFAULT_BUNDLE / name).read_bytes())
    good = load_bundle(tmp_path)
    assert good.recipe.classes == CLASSES and not good.known
    raw = bytearray((tmp_path / "model.onnx").read_bytes())
    raw[1000] ^= 1
    (tmp_path / "model.onnx").write_bytes(raw)
    with pytest.raises(Malformed) as caught:
        load_bundle(tmp_path)
    assert caught.value.reason == Reason.MODEL
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(Unavailable):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    "recipe",
    [
        "{}",
        "[]",
        "x",
        '{"classes":["a"],"threshold":2,"multiple_px":32,"model_sha256":"x"}',
        '{"classes":[],"threshold":"a"}',
    ],
)
def test_recipes_that_are_wrong(tmp_path, recipe):
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "recipe.json").write_text(recipe)
    with pytest.raises(Malformed):
        load_bundle(tmp_path)


def test_bundles_are_written_once(tmp_path):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    write_bundle(tmp_path / "b", files)
    assert load_bundle(tmp_path / "b").digest == load_bundle(DEFAULT_BUNDLE).digest
    with pytest.raises(Unavailable, match="empty folder"):
        write_bundle(tmp_path / "b", files)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0},
        {"threshold": 1.0},
        {"classes": []},
        {"classes": ["a", "a"]},
        {"version": 0},
        {"name": "../x"},
        {"calibration": [0, 0]},
        {"calibration": [1]},
        {"model_sha256": "00"},
        {"more": 1},
        {"multiple_px": 0},
    ],
)
def test_recipes_out_of_range(change):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    recipe = {**json.loads(files["recipe.json"]), **change}
    with pytest.raises(Malformed):
        parse_bundle({**files, "recipe.json": json.dumps(recipe).encode()})


def test_known_answers_without_their_images_and_images_without_answers():
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    with pytest.raises(Malformed, match="its images"):
        parse_bundle({n: d for n, d in files.items() if n != "known/00_temp.png"})
    with pytest.raises(Malformed, match="known answer for every image"):
        parse_bundle({**files, "known/99_test.png": b"x"})
