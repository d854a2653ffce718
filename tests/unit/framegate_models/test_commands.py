"""framegate-models at the command line."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_models.dataset import read_split, registered
from framegate_models.evaluate import inspector_of, measure
from framegate_models.main import app
from framegate_models.report import write_report
from framegate_models.sampling import LabelledPair
from framegate_simulators.boards.boards import CLASSES
from framegate_simulators.boards.train import drawn_pair

pytestmark = pytest.mark.slow

RUN = CliRunner()


# ---------------------------------------------------------------- commands


@pytest.mark.slow
def test_evaluate_prints_figures_and_writes_pictures(training_folder, tmp_path):
    (training_folder / "half.txt").write_text(
        "".join(f"0500000{n}.jpg 0500000{n}.txt\n" for n in range(6))
    )
    done = RUN.invoke(
        app,
        [
            "model",
            "evaluate",
            "--data",
            str(training_folder),
            "--split",
            "half.txt",
            "-o",
            "json",
            "--threads",
            "1",
            "--report",
            str(tmp_path / "r"),
        ],
    )
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    assert body["images"] == 6 and body["bundle_sha256"] == load_bundle(DEFAULT_BUNDLE).digest.hex()
    assert (
        0.5 < body["map"] <= 1
        and 0.5 < body["f"] <= 1
        and set(body["class_ap_iou33"]) == set(CLASSES)
    )
    assert {"preprocess", "inference", "postprocess", "whole"} == set(body["ms_per_frame"]) and all(
        v > 0 for v in body["ms_per_frame"].values()
    )
    assert (
        cv2.imread(str(tmp_path / "r" / "precision-recall.png")) is not None
        and "mAP" in (tmp_path / "r" / "report.md").read_text()
    )
    table = RUN.invoke(app, ["model", "evaluate", "--data", str(training_folder), "--threads", "1"])
    assert table.exit_code == 0 and "AP pin-hole" in table.stdout


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["model", "evaluate", "--data", "/none"], 7, "a folder of labelled pairs"),
        (["model", "evaluate", "--data", "{folder}", "--split", "none.txt"], 7, "none.txt"),
        (["model", "evaluate", "--data", "{folder}", "--bundle", "{folder}"], 7, "model.onnx"),
        (["model", "evaluate", "--data", "{folder}", "-o", "yaml"], 2, "not one of"),
        (["model", "show", "--bundle", "/none"], 7, "model.onnx"),
        (["data", "verify", "{folder}", "--key", "/none"], 7, "a key in /none"),
        (
            [
                "data",
                "sign",
                "{folder}",
                "--key",
                "{folder}/05000000.txt",
                "--source",
                "s",
                "--approved-by",
                "a",
            ],
            1,
            "PEM key",
        ),
    ],
)
def test_commands_say_what_is_wrong(training_folder, argv, code, message):
    done = RUN.invoke(app, [a.format(folder=training_folder) for a in argv])
    assert done.exit_code == code and message in done.output.replace("\n", " "), done.output


def test_training_asks_for_what_it_needs_by_name(training_folder, monkeypatch):
    import builtins

    real = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name.split(".")[0] == "torch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    done = RUN.invoke(
        app,
        ["model", "train", "--data", str(training_folder), "--out", str(training_folder / "out")],
    )
    assert done.exit_code == 7 and "PyTorch" in done.output


def test_show_and_the_card_lead_to_the_training_data():
    body = json.loads(RUN.invoke(app, ["model", "show", "-o", "json"]).stdout)
    assert (
        body["digest"] == load_bundle(DEFAULT_BUNDLE).digest.hex()
        and "drawn boards" in body["card"]["trained_on"]["source"]
        and body["known_answers"] >= 20
    )


def test_reports_without_a_single_detection_are_written(tmp_path):
    pair = drawn_pair(1)
    empty = LabelledPair(
        "none", pair.golden, pair.golden, np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    )
    measured = measure(inspector_of(load_bundle(DEFAULT_BUNDLE), 1), [empty, registered(pair)])
    write_report(tmp_path / "r", measured, {"none": empty, pair.name: pair}, {})
    assert (tmp_path / "r" / "confusion.png").exists()


# ---------------------------------------------------------------- real boards


@pytest.mark.slow
def test_the_default_model_on_real_boards(real_data, tmp_path):
    """Measured without any training on them; the figures of all pairs are in the model card."""
    import tarfile

    archive = real_data / "deeppcb-trainval.tar"
    if not archive.exists():
        pytest.skip("no deeppcb-trainval.tar among the real data")
    with tarfile.open(archive) as tar:
        listing = (
            tar.extractfile("deeppcb-trainval/PCBData/trainval.txt")
            .read()
            .decode()
            .splitlines()[::25]
        )
        wanted = set()
        for image, annotation in (line.split() for line in listing):
            wanted |= {
                image.replace(".jpg", "_test.jpg"),
                image.replace(".jpg", "_temp.jpg"),
                annotation,
            }
        tar.extractall(
            tmp_path,
            [
                m
                for m in tar.getmembers()
                if m.name.removeprefix("deeppcb-trainval/PCBData/") in wanted
            ],
            filter="data",
        )
    root = tmp_path / "deeppcb-trainval" / "PCBData"
    (root / "some.txt").write_text("\n".join(listing))
    measured = measure(
        inspector_of(load_bundle(DEFAULT_BUNDLE)), read_split(root, root / "some.txt")
    )
    assert (
        measured.score.images == 40 and measured.score.pooled_ap > 0.9 and measured.score.f > 0.88
    )
