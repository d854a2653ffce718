"""Data sets, their manifests, what training looks at them for, and the protocol that boxes are judged by."""

import contextlib
import json
import shutil

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.signed_folder import check_folder
from framegate_models.accuracy import Truth, average_precision, best_threshold, confusion, pooled_matches, precision_recall, score
from framegate_models.dataset import read_annotation, read_pair, read_split, registered
from framegate_models.evaluate import inspector_of, measure
from framegate_models.main import app
from framegate_models.manifest import sign_folder
from framegate_models.report import write_report
from framegate_models.sampling import CROP_PX, LabelledPair, mirror_of, sample, targets
from framegate_models.screening import label_outliers, near_duplicates
from framegate_simulators.boards.boards import CLASSES, draw_board, write_boards
from framegate_simulators.boards.capture import capture, look
from framegate_simulators.boards.damage import Stroke, classify
from framegate_simulators.boards.layout import draw_design
from framegate_simulators.boards.train import drawn_pair

KEY = ec.generate_private_key(ec.SECP256R1())
RUN = CliRunner()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_boards(folder, range(5_000_000, 5_000_010))
    return folder


@pytest.fixture
def folder(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "set")


# ---------------------------------------------------------------- drawn boards


def test_drawn_boards_are_a_set_in_deeppcbs_format(drawn):
    listed = read_split(drawn)
    assert len(listed) == 10 and listed[0].name == "05000000" and len(read_split(drawn, drawn / "trainval.txt")) == 10
    for one, seed in zip(listed, range(5_000_000, 5_000_010), strict=True):
        pair, board = read_pair(one, CLASSES), draw_board(seed)
        assert pair.frame.shape == (640, 640) and [CLASSES[k] for k in pair.kinds] == [d.kind for d in board.defects]


def test_a_seed_draws_the_same_board_and_classes_are_what_the_stroke_leaves():
    rng = np.random.default_rng(3)
    copper = np.zeros((200, 200), np.uint8)
    cv2.rectangle(copper, (0, 40), (199, 60), 255, -1)
    cv2.rectangle(copper, (0, 100), (199, 120), 255, -1)

    def stroke(x1, y1, x2, y2, dark):
        return classify(copper, Stroke(np.ones((y2 - y1, x2 - x1), bool), x1, y1, dark))

    assert stroke(90, 35, 96, 66, dark=False) == "open" and stroke(90, 35, 96, 50, dark=False) == "mousebite" and stroke(90, 47, 96, 54, dark=False) == "pin-hole"
    assert stroke(90, 55, 96, 105, dark=True) == "short" and stroke(90, 55, 96, 75, dark=True) == "spur" and stroke(90, 75, 96, 85, dark=True) == "copper"
    assert stroke(90, 36, 97, 39, dark=False) == "", "nothing of it is on copper"
    for seed in (1, 2):
        assert (draw_design(np.random.default_rng(seed)) == draw_design(np.random.default_rng(seed))).all()
    grey = capture(rng, copper, look(rng, thresholded=False), 0.5)
    assert len(np.unique(capture(rng, copper, look(rng, thresholded=True), 0.5))) == 2 and len(np.unique(grey)) > 40
    assert {d.kind for s in range(60) for d in draw_board(s).defects} == set(CLASSES)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("line", "words"),
    [("1 2 3 4", "line 1"), ("1 2 3 4 x", "line 1"), ("9 2 3 4 1", "x1 < x2"), ("1 2 3 4 0", "class from 1 to 6"), ("1 2 3 4 7", "class from 1 to 6"), ("-1 2 3 4 1", "x1 < x2")],
)
def test_annotations_that_are_wrong_are_named(tmp_path, line, words):
    (tmp_path / "a.txt").write_text(line + "\n")
    with pytest.raises(Malformed, match=words) as caught:
        read_annotation(tmp_path / "a.txt", 6)
    assert caught.value.reason == Reason.DATA_SET


def test_annotations_with_commas_or_spaces_and_good_boards(tmp_path):
    (tmp_path / "a.txt").write_text("1,2,30,40,6\n\n5 6 7 8 1\n")
    boxes, kinds = read_annotation(tmp_path / "a.txt", 6)
    assert boxes.tolist() == [[1, 2, 30, 40], [5, 6, 7, 8]] and kinds.tolist() == [5, 0]
    (tmp_path / "a.txt").write_text("")
    assert read_annotation(tmp_path / "a.txt", 6)[0].shape == (0, 4)


@given(st.text(max_size=80))
def test_annotations_of_any_text_raise_only_our_errors(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_text(text, encoding="utf-8", errors="surrogatepass") if text < "\ud800" else path.write_bytes(b"\xff")
    with contextlib.suppress(FramegateError):
        read_annotation(path, 6)


@pytest.mark.parametrize("line", ["../outside.jpg 05000000.txt", "05000000.jpg ../../etc/passwd", "/etc/passwd /etc/passwd", "05000000.jpg", "a b c"])
def test_splits_that_lead_out_or_are_wrong_are_named(folder, line):
    (folder / "bad.txt").write_text(f"05000000.jpg 05000000.txt\n{line}\n")
    with pytest.raises(Malformed, match="line 2"):
        read_split(folder, folder / "bad.txt")


def test_pairs_that_are_missing_damaged_or_of_two_sizes(folder):
    listed = read_split(folder)
    cv2.imwrite(str(folder / "05000001_temp.jpg"), np.zeros((64, 64), np.uint8))
    with pytest.raises(Malformed, match="one size"):
        read_pair(listed[1], CLASSES)
    raw = (folder / "05000002_test.jpg").read_bytes()
    (folder / "05000002_test.jpg").write_bytes(b"GIF89a" + raw)
    with pytest.raises(Malformed, match="05000002"):
        read_pair(listed[2], CLASSES)
    (folder / "05000003_test.jpg").unlink()
    with pytest.raises(Unavailable, match="05000003_test"):
        read_pair(listed[3], CLASSES)
    with pytest.raises(Unavailable):
        read_split(folder / "none")


# ---------------------------------------------------------------- the protocol


def found(*rows) -> Detections:
    return Detections(np.array([r[:4] for r in rows], np.float32).reshape(-1, 4), np.array([r[4] for r in rows], np.int64), np.array([r[5] for r in rows], np.float32))


def truth(*rows) -> Truth:
    return Truth(np.array([r[:4] for r in rows], np.float32).reshape(-1, 4), np.array([r[4] for r in rows], np.int64))


def test_a_true_box_takes_the_first_unused_box_of_any_class_and_only_then_is_the_class_compared():
    one = truth((0, 0, 30, 30, 0), (2, 2, 32, 32, 1))
    said = found((1, 1, 31, 31, 1, 0.9), (0, 0, 30, 30, 0, 0.8))
    # the first true box takes the better-scored box of the other class; the second is left with the wrong one
    assert pooled_matches(one, said) == [(pytest.approx(0.9), False), (pytest.approx(0.8), False)]
    assert score([one], [said], CLASSES, 0.5).class_ap["open"] == 1.0, "the class-aware rule forgives it"
    assert pooled_matches(truth((0, 0, 30, 30, 0)), found((0, 0, 30, 30, 0, 0.9), (0, 0, 30, 30, 0, 0.8))) == [(pytest.approx(0.9), True), (pytest.approx(0.8), False)]


def test_average_precision_is_not_interpolated():
    assert average_precision([(0.9, True), (0.8, False), (0.7, True)], 2) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([], 3) == 0.0 and average_precision([(0.5, True)], 4) == 0.25


def test_overlap_of_a_third_is_not_enough_and_half_is_for_the_strict_rule():
    one = truth((0, 0, 30, 30, 2))
    near, far = found((0, 0, 30, 15, 2, 0.9)), found((0, 20.2, 30, 50.2, 2, 0.9))
    assert score([one], [near], CLASSES, 0.5).f == 1.0 and score([one], [far], CLASSES, 0.5).f == 0.0
    assert score([one], [near], CLASSES, 0.5).class_ap_strict["mousebite"] == 0.0  # exactly one half is not above it


def test_confusions_good_images_and_the_best_threshold():
    truths = [truth((0, 0, 30, 30, 0), (100, 100, 130, 130, 1)), truth()]
    said = [found((0, 0, 30, 30, 2, 0.9)), found((50, 50, 80, 80, 4, 0.3))]
    table = confusion(truths, said, 6)
    assert table[0, 2] == 1 and table[1, 6] == 1 and table[6, 4] == 1 and table.sum() == 3
    figures = score(truths, said, CLASSES, 0.5)
    assert (figures.good_images, figures.good_images_flagged, figures.bad_images, figures.bad_images_missed) == (1, 0, 1, 0)
    assert score(truths, said, CLASSES, 0.2).good_images_flagged == 1
    sure = [found((0, 0, 30, 30, 0, 0.8), (300, 300, 330, 330, 0, 0.6)), found()]
    assert 0.6 < best_threshold(truths, sure) <= 0.8
    assert precision_recall(truths, sure).shape == (2, 3) and precision_recall([truth()], [found()]).shape == (0, 3)


# ---------------------------------------------------------------- samples


def test_targets_and_mirrors():
    heat, geometry, mask = targets(np.array([[40, 40, 72, 56]], np.float32), np.array([3]), 6, 320)
    assert heat[3, 6, 7] == 1.0 and heat[0].max() == 0 and mask.sum() == 9
    assert geometry[:, 6, 7] == pytest.approx([0.0, 0.0, np.log(4), np.log(2)], abs=1e-6)
    assert mirror_of(CLASSES).tolist() == [1, 0, 3, 2, 5, 4] and mirror_of(("scratch", "dent")) is None
    rng = np.random.default_rng(1)
    for seed in range(20):
        crop, light, *_ = sample(rng, drawn_pair(seed), 6, mirror_of(CLASSES))
        assert crop.shape == (2, CROP_PX, CROP_PX) and crop.dtype == np.uint8 and light.shape == (2, 2)


# ---------------------------------------------------------------- manifests and screening


def test_a_signed_set_holds_and_every_change_is_named(folder):
    assert check_folder(folder).signer == "", "unsigned is known as unsigned"
    signed = sign_folder(folder, KEY, "line 3, week 47", "anna")
    assert check_folder(folder, [KEY.public_key()]).signer.startswith("key ") and check_folder(folder).signer == "unverified"
    assert check_folder(folder).sha256 == signed.sha256 and check_folder(folder).approved_by == "anna"
    annotation = folder / "05000004.txt"
    original = annotation.read_text()
    annotation.write_text(original + "1 1 50 50 1\n")
    for keys in ([], [KEY.public_key()]):
        with pytest.raises(Refused, match="05000004"):
            check_folder(folder, keys)
    annotation.write_text(original)
    (folder / "smuggled_test.jpg").write_bytes(b"x")
    with pytest.raises(Refused, match="smuggled"):
        check_folder(folder)
    (folder / "smuggled_test.jpg").unlink()
    (folder / "link.txt").symlink_to("/etc/hostname")
    with pytest.raises(Malformed, match="link"):
        check_folder(folder)


def test_sets_signed_by_nobody_or_another(folder):
    with pytest.raises(Refused):
        check_folder(folder, [KEY.public_key()])
    with pytest.raises(Refused, match="approved it"):
        sign_folder(folder, KEY, "", "anna")
    sign_folder(folder, ec.generate_private_key(ec.SECP256R1()), "s", "mallory")
    with pytest.raises(Refused):
        check_folder(folder, [KEY.public_key()])
    (folder / "dataset.sig").unlink()
    with pytest.raises(Refused, match="signed folder"):
        check_folder(folder)
    (folder / "dataset.sig").write_text("{}")
    with pytest.raises(FramegateError):
        check_folder(folder)


def test_near_duplicates_are_found_and_different_boards_are_not():
    pairs = [drawn_pair(seed) for seed in range(12)]
    twin = pairs[3]
    noisy = np.clip(twin.frame.astype(int) + np.random.default_rng(1).integers(-9, 9, twin.frame.shape), 0, 255).astype(np.uint8)
    twins = near_duplicates([*pairs, LabelledPair("copy", twin.golden, noisy, twin.boxes, twin.kinds)])
    assert [row[:2] for row in twins] == [(twin.name, "copy")]
    assert near_duplicates([]) == []


def test_labels_that_the_model_disputes_are_listed_the_others_are_not():
    inspector = inspector_of(load_bundle(DEFAULT_BUNDLE), 1)
    pairs = [drawn_pair(7_000_000 + seed) for seed in range(6)]
    honest = measure(inspector, pairs)
    sure = next((n, i) for n, t in enumerate(honest.truths) for i in range(len(t.kinds)) if _certain(honest, n, i))
    poisoned = list(pairs)
    kinds = poisoned[sure[0]].kinds.copy()
    kinds[sure[1]] = (kinds[sure[1]] + 1) % 6
    p = poisoned[sure[0]]
    poisoned[sure[0]] = LabelledPair(p.name, p.golden, p.frame, p.boxes, kinds)
    listed = label_outliers(measure(inspector, poisoned))
    assert any(row["pair"] == p.name and row["box"] == p.boxes[sure[1]].tolist() and "the model says" in row["what"] for row in listed)
    assert len(listed) == len(label_outliers(honest)) + 1


def _certain(measured, n: int, i: int) -> bool:
    from framegate_gateway.inference.detections import iou

    boxes, truth_ = measured.found[n], measured.truths[n]
    near = (iou(truth_.boxes[i], boxes.boxes) > 0.5) & (boxes.classes == truth_.kinds[i])
    return bool(near.any()) and float(boxes.scores[near].max()) > 0.95


# ---------------------------------------------------------------- commands


def test_evaluate_prints_figures_and_writes_pictures(folder, tmp_path):
    (folder / "half.txt").write_text("".join(f"0500000{n}.jpg 0500000{n}.txt\n" for n in range(6)))
    done = RUN.invoke(app, ["model", "evaluate", "--data", str(folder), "--split", "half.txt", "-o", "json", "--threads", "1", "--report", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    assert body["images"] == 6 and body["bundle_sha256"] == load_bundle(DEFAULT_BUNDLE).digest.hex()
    assert 0.5 < body["map"] <= 1 and 0.5 < body["f"] <= 1 and set(body["class_ap_iou33"]) == set(CLASSES)
    assert {"preprocess", "inference", "postprocess", "whole"} == set(body["ms_per_frame"]) and all(v > 0 for v in body["ms_per_frame"].values())
    assert cv2.imread(str(tmp_path / "r" / "precision-recall.png")) is not None and "mAP" in (tmp_path / "r" / "report.md").read_text()
    table = RUN.invoke(app, ["model", "evaluate", "--data", str(folder), "--threads", "1"])
    assert table.exit_code == 0 and "AP pin-hole" in table.stdout


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["model", "evaluate", "--data", "/none"], 7, "a folder of labelled pairs"),
        (["model", "evaluate", "--data", "{folder}", "--split", "none.txt"], 7, "none.txt"),
        (["model", "evaluate", "--data", "{folder}", "--bundle", "{folder}"], 7, "model.onnx"),
        (["model", "evaluate", "--data", "{folder}", "-o", "yaml"], 1, "-o table or -o json"),
        (["model", "show", "--bundle", "/none"], 7, "model.onnx"),
        (["data", "verify", "{folder}", "--key", "/none"], 7, "a key in /none"),
        (["data", "sign", "{folder}", "--key", "{folder}/05000000.txt", "--source", "s", "--approved-by", "a"], 1, "PEM key"),
    ],
)
def test_commands_say_what_is_wrong(folder, argv, code, words):
    done = RUN.invoke(app, [a.format(folder=folder) for a in argv])
    assert done.exit_code == code and words in done.output.replace("\n", " "), done.output


def test_training_asks_for_what_it_needs_by_name(folder, monkeypatch):
    import builtins

    real = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name.split(".")[0] == "torch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    done = RUN.invoke(app, ["model", "train", "--data", str(folder), "--out", str(folder / "out")])
    assert done.exit_code == 7 and "PyTorch" in done.output


def test_show_and_the_card_lead_to_the_training_data():
    body = json.loads(RUN.invoke(app, ["model", "show", "-o", "json"]).stdout)
    assert body["digest"] == load_bundle(DEFAULT_BUNDLE).digest.hex() and "drawn boards" in body["card"]["trained_on"]["source"] and body["known_answers"] >= 20


def test_reports_without_a_single_detection_are_written(tmp_path):
    pair = drawn_pair(1)
    empty = LabelledPair("none", pair.golden, pair.golden, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    measured = measure(inspector_of(load_bundle(DEFAULT_BUNDLE), 1), [empty, registered(pair)])
    write_report(tmp_path / "r", measured, {"none": empty, pair.name: pair}, {})
    assert (tmp_path / "r" / "confusion.png").exists()


# ---------------------------------------------------------------- real boards


def test_the_default_model_on_real_boards(real_data, tmp_path):
    """Measured without any training on them; the figures of all pairs are in the model card."""
    import tarfile

    archive = real_data / "deeppcb-trainval.tar"
    if not archive.exists():
        pytest.skip("no deeppcb-trainval.tar among the real data")
    with tarfile.open(archive) as tar:
        listing = tar.extractfile("deeppcb-trainval/PCBData/trainval.txt").read().decode().splitlines()[::25]
        wanted = set()
        for image, annotation in (line.split() for line in listing):
            wanted |= {image.replace(".jpg", "_test.jpg"), image.replace(".jpg", "_temp.jpg"), annotation}
        tar.extractall(tmp_path, [m for m in tar.getmembers() if m.name.removeprefix("deeppcb-trainval/PCBData/") in wanted], filter="data")
    root = tmp_path / "deeppcb-trainval" / "PCBData"
    (root / "some.txt").write_text("\n".join(listing))
    measured = measure(inspector_of(load_bundle(DEFAULT_BUNDLE)), read_split(root, root / "some.txt"))
    assert measured.score.images == 40 and measured.score.pooled_ap > 0.9 and measured.score.f > 0.88
