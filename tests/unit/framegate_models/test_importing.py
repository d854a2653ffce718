"""Networks of other tools become bundles, or are refused by name."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate_gateway.inference.bundle import load_bundle
from framegate_gateway.inference.layouts import LAYOUTS, Kind
from framegate_models.foreign_graph import read_graph
from framegate_models.importing import import_model
from framegate_models.main import app
from framegate_models.proposal import Wish, parse_members
from framegate_simulators.fixtures.spot_networks import spot_network
from support.paths import TESTS
from support.spots import png, wish_for

pytestmark = pytest.mark.slow  # networks of other tools run

RUN = CliRunner()
EXPORTS = TESTS / "vectors/exports"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_known_by_names_and_shapes_and_is_right(spots, layout):
    made = spots.imported(layout)
    assert made.bundle.recipe.picture_output.layout == layout
    assert made.figures.good_passed == made.figures.good == 8
    assert made.figures.bad_flagged == made.figures.bad == 8
    assert made.figures.unseen_right == made.figures.unseen >= 4
    assert any("values from 0 to 1" in line for line in made.decided), "by what the pictures say"


def real_pictures(folder: Path) -> tuple[Path, Path]:
    """Grain with and without a dark square, as both exported networks were trained on."""
    rng = np.random.default_rng(11)
    for name in ("good", "bad"):
        (folder / name).mkdir()
        for number in range(10):
            picture = rng.normal(128, 9, (128, 128, 3))
            if name == "bad":
                x, y = rng.integers(20, 90, 2)
                picture[y : y + 18, x : x + 18] = 20 + rng.normal(0, 5, (18, 18, 3))
            data = png(picture.clip(0, 255).astype(np.uint8))
            (folder / name / f"{number}.png").write_bytes(data)
    return folder / "good", folder / "bad"


@pytest.mark.parametrize(
    ("file", "wish", "layout"),
    [
        ("padim.onnx", Wish(Kind.ANOMALY, ("anomaly",)), "anomalib"),
        ("spots.onnx", Wish(Kind.DETECTION, ("dark", "bright")), "yolov8"),
    ],
)
def test_what_anomalib_and_pytorch_export_is_taken_as_it_is(tmp_path, file, wish, layout):
    good, bad = real_pictures(tmp_path)
    made = import_model(EXPORTS / file, wish, good, bad, 1)
    assert made.bundle.recipe.picture_output.layout == layout
    assert made.figures.bad_flagged == 10 and made.figures.good_passed == 10
    assert "weights that lay in files of their own are in the model file now" in made.decided
    assert len(made.bundle.known) >= 8


def other(change):
    return spot_network("yolov8", change=change)


def outside(model) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"


def custom(model) -> None:
    model.graph.node[0].domain = "com.mallory"
    model.opset_import.append(helper.make_opsetid("com.mallory", 1))


def two_pictures(model) -> None:
    model.graph.input.append(
        helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 3, 64, 64])
    )


def blind(model) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "slope":
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(np.zeros((2, 1, 1, 1), np.float32), "slope")
            )


def not_a_number(model) -> None:
    model.graph.node[-1].output[0] = "sound"
    model.graph.node.append(helper.make_node("Log", ["less"], ["output0"]))
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Neg", ["sound"], ["less"]))


BAD = {
    "no ONNX": (b"no", wish_for("yolov8"), Reason.MODEL_GRAPH, "an ONNX model"),
    "weights elsewhere": (other(outside), wish_for("yolov8"), Reason.MODEL_GRAPH, "beside"),
    "an operator of its own": (other(custom), wish_for("yolov8"), Reason.MODEL_GRAPH, "custom"),
    "two pictures": (other(two_pictures), wish_for("yolov8"), Reason.MODEL_GRAPH, "one input"),
    "a class too many": (
        spot_network("yolov8"),
        wish_for("yolov8", classes=("a", "b", "c")),
        Reason.MODEL,
        "for 3 classes",
    ),
    "another kind": (
        spot_network("yolov8"),
        wish_for("scores"),
        Reason.MODEL,
        "outputs of classification",
    ),
    "a segmenter as classifier": (spot_network("maps"), wish_for("scores"), Reason.MODEL, "scores"),
    "another layout": (
        spot_network("yolov8"),
        wish_for("yolov8", layout="yolov5"),
        Reason.MODEL,
        "yolov5",
    ),
    "another size": (
        spot_network("yolov8"),
        wish_for("yolov8", size=(32, 32)),
        Reason.MODEL_GRAPH,
        "32x32",
    ),
    "NaN": (other(not_a_number), wish_for("yolov8"), Reason.INFERENCE, "numbers from the model"),
    "it sees nothing": (other(blind), wish_for("yolov8"), Reason.KNOWN_ANSWER, "right about"),
    "masks without their boxes' numbers": (
        spot_network("yolov8"),
        wish_for("yolov8", layout="yolov8-seg"),
        Reason.MODEL,
        "yolov8-seg",
    ),
    "instance masks as segmentation": (
        spot_network("yolov8-seg"),
        wish_for("maps"),
        Reason.INFERENCE,
        "from the model",
    ),
    "no class is good": (
        spot_network("scores"),
        wish_for("scores", good=()),
        Reason.MODEL,
        "a class that is good",
    ),
    "every class is good": (
        spot_network("yolov8"),
        wish_for("yolov8", good=("dark", "bright")),
        Reason.MODEL,
        "one at least is a defect",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_bundle_is_refused_by_name(spots, case):
    model, wish, reason, words = BAD[case]
    with pytest.raises(FramegateError) as caught:
        import_model(spots.file(model), wish, spots.good, spots.bad, 1)
    assert caught.value.reason == reason and words in str(caught.value)


def test_a_good_that_is_a_bad_and_too_few_pictures(spots, tmp_path):
    file = spots.file(spot_network("yolov8"))
    with pytest.raises(Refused, match=r"right way round|right about"):
        import_model(file, wish_for("yolov8"), spots.bad, spots.good, 1)
    (tmp_path / "few").mkdir()
    (tmp_path / "few/1.png").write_bytes((spots.bad / "00.png").read_bytes())
    with pytest.raises(Refused, match="at least 8 pictures"):
        import_model(file, wish_for("yolov8"), spots.good, tmp_path / "few", 1)
    with pytest.raises(Unavailable, match="a folder of pictures"):
        import_model(file, wish_for("yolov8"), spots.good, tmp_path / "none", 1)


def test_unused_operator_sets_and_remarks_go_and_are_told_of(spots):
    def remarked(model) -> None:
        model.opset_import.append(helper.make_opsetid("com.unused", 1))
        model.metadata_props.add(key="path", value="/home/somebody")

    graph = read_graph(spots.file(other(remarked)))
    assert len(graph.changes) == 2 and b"somebody" not in graph.model


def test_members_that_are_told_otherwise(spots):
    told = parse_members(["input.divide=255", "input.fit=stretch", "place=anywhere"])
    wish = wish_for("yolov8", members=told)
    made = import_model(spots.file(spot_network("yolov8")), wish, spots.good, spots.bad, 1)
    recipe = made.bundle.recipe
    assert recipe.place == "anywhere" and recipe.picture_input.fit == "stretch"
    for member in ("input.what=1", "kind=pair", "output.tensors=[]", "input.fit=3", "x"):
        with pytest.raises(Malformed):
            wish = wish_for("yolov8", members=parse_members([member]))
            import_model(spots.file(spot_network("yolov8")), wish, spots.good, spots.bad, 1)


def test_the_command_says_what_it_does_and_shows_pictures(spots, tmp_path):
    out = tmp_path / "spots"
    arguments = ["import", str(spots.file(spot_network("maps"))), "--kind", "segmentation"]
    arguments += ["--class", "good", "--class", "dark", "--class", "bright", "--no-defect", "good"]
    arguments += ["--good", str(spots.good), "--bad", str(spots.bad), "--out", str(out)]
    done = RUN.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    for words in (
        "The network sees 64x64 pixels in colour",
        "read as maps",
        "A region of dark, bright from",
        "What is good is none",
        "8 of 8 bad pictures are DEFECT, 8 of 8 good ones PASS",
        "4 with defects and 4 without",
        "unsigned",
    ):
        assert words in done.output
    bundle = load_bundle(out)
    assert bundle.recipe.kind == Kind.SEGMENTATION and not bundle.signature
    card = json.loads(bundle.training)
    assert card["first_results"]["bad_flagged"] == 8
    for name in ("good", "bad"):
        assert cv2.imread(str(tmp_path / f"spots.pictures/{name}.png")) is not None
    shown = RUN.invoke(app, ["model", "show", "--bundle", str(out), "-o", "json"])
    assert json.loads(shown.output)["kind"] == "segmentation"
    again = RUN.invoke(app, arguments)
    assert again.exit_code != 0 and "empty folder" in again.output
    for wrong in (["--kind", "pair"], ["--kind", "pose"], ["--size", "big"]):
        assert RUN.invoke(app, [*arguments, "--out", str(tmp_path / "x"), *wrong]).exit_code != 0


def test_pairs_measure_no_other_kind(spots, tmp_path):
    from framegate_models.evaluate import inspector_of

    with pytest.raises(Refused, match="kind pair"):
        inspector_of(spots.imported("yolov8").bundle)
