"""Folders of pictures that a person names: what is in them, and what is said of wrong ones."""

import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from framegate.errors import Malformed, Reason, Unavailable
from framegate_gateway.inference.bundle import write_bundle
from framegate_models.main import app
from framegate_models.picture_files import picture_paths, reading
from framegate_simulators.fixtures.plates import write_plates
from framegate_simulators.fixtures.spot_networks import spot_network

RUN = CliRunner()


def test_a_folder_that_is_none_and_a_file_in_its_place(tmp_path):
    with pytest.raises(Unavailable, match="none at"):
        picture_paths(tmp_path / "none")
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(Unavailable, match="a file, "):
        picture_paths(tmp_path / "a.png")


def test_what_is_wrong_with_a_picture_names_its_file(tmp_path):
    with pytest.raises(Malformed) as caught, reading(tmp_path / "a.png"):
        raise Malformed.of(Reason.IMAGE, "8 bits a sample", 16, "convert it")
    (said,) = caught.value.failures
    assert said.actual == f"{tmp_path / 'a.png'}: 16" and said.hint == "convert it"
    with pytest.raises(Malformed) as caught, reading(tmp_path / "b.png"):
        raise Malformed.of(Reason.IMAGE, "a JPEG", "3 bytes")
    assert "b.png: 3 bytes" in str(caught.value) and "take it out" in caught.value.failures[0].hint


@pytest.fixture(scope="module")
def wrong(tmp_path_factory, spots):
    """Folders and files that commands are given wrongly, by name; `out` is not there."""
    tmp_path = tmp_path_factory.mktemp("wrong")
    write_plates(tmp_path / "good", 1, 20)
    for name in ("broken", "deep"):
        shutil.copytree(tmp_path / "good", tmp_path / name)
    (tmp_path / "broken/plate_003.png").write_bytes(b"no picture")
    deep = np.full((40, 50, 3), 40_000, np.uint16)
    (tmp_path / "deep/plate_003.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    write_plates(tmp_path / "one", 1, 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.onnx").write_bytes(b"abc")
    (tmp_path / "empty.onnx").write_bytes(b"")
    write_bundle(tmp_path / "bundle", spots.imported("anomalib").bundle.files)
    names = "good", "broken", "deep", "one", "empty", "no.onnx", "empty.onnx", "bundle", "none"
    places = {name.replace(".", "_"): tmp_path / name for name in names}
    model = spots.file(spot_network("anomalib"))
    return {**places, "out": tmp_path / "out", "spots": spots.good, "model": model}


LEARN = "learn --out {out} --good "
IMPORT = "import {model} --kind anomaly --good {spots} --bad {spots} --out {out} "
EVALUATE = "evaluate --bundle {bundle} "


@pytest.mark.slow  # networks of other tools run
@pytest.mark.parametrize(
    ("typed", "code", "expected", "seen"),
    [
        (LEARN + "{none}", 7, "a folder of pictures", "none at {none}"),
        (LEARN + "{no_onnx}", 7, "a folder of pictures", "a file, {no_onnx}"),
        (LEARN + "{empty}", 1, "20 to 2000 pictures of sound parts in {empty}", "0"),
        (LEARN + "{one}", 1, "20 to 2000 pictures of sound parts in {one}", "1"),
        (LEARN + "{broken}", 1, "a JPEG", "{broken}/plate_003.png: 10 bytes"),
        (LEARN + "{deep}", 1, "8 bits a sample", "{deep}/plate_003.png: 16"),
        (LEARN + "{good} --size big", 1, "--size WxH", "'big'"),
        (LEARN + "{good} --size 12x9", 1, "multiples of 32", "12x9"),
        (LEARN + "{good} --part [", 1, "--part PATTERN", "'['"),
        (LEARN + "{good} --part plate", 1, "--part with one group", "0 in 'plate'"),
        (LEARN + "{good} --data-key {none}", 7, "a key in {none}", "No such file"),
        (
            "import {none} --kind anomaly --good {good} --bad {good} --out {out}",
            7,
            "an ONNX file",
            "No such",
        ),
        (
            "import {empty} --kind anomaly --good {good} --bad {good} --out {out}",
            7,
            "an ONNX file",
            "directory",
        ),
        (
            "import {no_onnx} --kind anomaly --good {good} --bad {good} --out {out}",
            1,
            "an ONNX model",
            "no.onnx",
        ),
        (
            "import {empty_onnx} --kind anomaly --good {good} --bad {good} --out {out}",
            1,
            "with operators",
            "0 bytes",
        ),
        (IMPORT + "--kind pose", 1, "--kind detection, ", "'pose'"),
        (IMPORT + "--kind detection", 1, "the network's classes", "none"),
        (IMPORT + "--bad {none}", 7, "a folder of pictures", "none at {none}"),
        (IMPORT + "--bad {empty}", 1, "at least 8 pictures in {empty}", "0"),
        (IMPORT + "--bad {one}", 1, "at least 8 pictures in {one}", "1"),
        (IMPORT + "--good {broken}", 1, "a JPEG", "plate_003.png: 10 bytes"),
        (IMPORT + "--good {deep}", 1, "8 bits a sample", "plate_003.png: 16"),
        (IMPORT + "--size 72x72", 1, "a network that takes 72x72 pixels", "Got: 72"),
        (IMPORT + "--layout what", 1, "--layout anomalib", "'what'"),
        (IMPORT + "--set what", 1, "--set MEMBER=VALUE", "'what'"),
        (IMPORT + "--set what.is=1", 1, "input.fit, ", "'what.is'"),
        (IMPORT + "--set input.fit=loose", 1, "stretch or letterbox", '--set input.fit="loose"'),
        ("evaluate", 1, "--data DIR for pairs", "neither"),
        ("evaluate --good {good}", 1, "of the kind anomaly", "pair"),
        (EVALUATE + "--good {none}", 7, "a folder of pictures", "none at {none}"),
        (EVALUATE + "--good {empty} --bad {spots}", 1, "pictures in {empty}", "none"),
        (EVALUATE + "--good {spots} --bad {empty}", 1, "pictures in {empty}", "none"),
        (EVALUATE + "--good {broken}", 1, "a JPEG", "plate_003.png: 10 bytes"),
        (EVALUATE + "--good {deep}", 1, "8 bits a sample", "plate_003.png: 16"),
    ],
)
def test_wrong_ones_are_told_with_what_to_do(typed, code, expected, seen, wrong):
    done = RUN.invoke(app, [word.format(**wrong) for word in typed.split()])
    said = " ".join(done.output.split())
    assert done.exit_code == code, done.output
    _, _, after = said.partition(" expected ")
    wanted, _, rest = after.partition(" seen ")
    came, _, hint = rest.partition(" do ")
    flat = "".join(wanted.split()), "".join(came.split())  # a long path is broken anywhere
    assert "".join(expected.format(**wrong).split()) in flat[0], done.output
    assert "".join(seen.format(**wrong).split()) in flat[1], done.output
    assert hint and not wrong["out"].exists(), done.output
