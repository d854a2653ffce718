"""A part is learned from sound ones alone; what is no such set, or is not learned, is refused."""

import json
import math
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from framegate.errors import FramegateError, Malformed, Reason
from framegate_gateway.inference.bundle import load_bundle, parse_bundle, write_bundle
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.signed_folder import Provenance
from framegate_models.damage import damaged
from framegate_models.evaluate_pictures import learned_digests, measure_pictures, promised_rate
from framegate_models.learn import Plan, learn_part
from framegate_models.main import app
from framegate_models.picture_files import picture_paths
from framegate_models.sound_pictures import folds_of, mask_of, read_sound
from framegate_models.surface import hardly_above, whitened
from framegate_simulators.fixtures.plates import plate, write_plates
from support.plates import GOOD

pytestmark = pytest.mark.slow  # what is learned takes seconds
RUN = CliRunner()
NOBODY = Provenance("0" * 64, 0)


def quiet(_stage: str, _share: float, _detail: str) -> None:
    """Nobody is told."""


@pytest.mark.plants  # learning takes half a minute of a processor
def test_a_part_is_learned_and_scratches_are_found(plates):
    learned = plates.learned
    recipe = learned.bundle.recipe
    assert recipe.kind == Kind.ANOMALY and recipe.place == "registered"
    assert learned.figures.bad_flagged >= 0.6 * learned.figures.bad
    assert len(learned.bundle.known) >= 8
    assert list(dict.fromkeys(plates.stages)) == ["looking", "trying", "learning"]
    measured = measure_pictures(learned.bundle, plates.fresh, [plates.scratched], 0.01, threads=1)
    assert measured.accuracy.image_auroc > 0.95
    assert measured.accuracy.bad.count >= 6 and measured.accuracy.good.count <= 1
    assert measured.promised == 0.01 and measured.ms.median > 0


@pytest.mark.plants  # learning takes half a minute of a processor
def test_what_was_learned_from_is_not_measured_on(plates):
    bundle = plates.learned.bundle
    card = json.loads(bundle.training)["learned"]
    assert len(learned_digests(bundle)) == len(card["pictures"]) == GOOD - card["kept_back"]
    assert promised_rate(bundle) == card["false_alarms_promised"] == 0.01
    measured = measure_pictures(bundle, plates.good, [], 0.01, threads=1)
    assert measured.learned == len(card["pictures"])
    assert measured.accuracy.good.of == card["kept_back"]
    assert math.isnan(measured.accuracy.image_auroc)


@pytest.mark.plants  # learning takes half a minute of a processor
def test_the_bundle_reads_back_and_is_not_another_networks(plates, tmp_path):
    write_bundle(tmp_path / "plates", plates.learned.bundle.files)
    again = load_bundle(tmp_path / "plates")
    assert again.digest == plates.learned.bundle.digest
    other = {**again.files, "model.onnx": again.model + b"\0"}
    with pytest.raises(Malformed):
        parse_bundle(other)


def bad_sets(folder):
    """Folders that nothing can be learned from, with the reason and words of each refusal."""
    few = folder / "few"
    write_plates(few, 1, 5)
    yield few, {}, Reason.DATA_SET, "20 to 2000 pictures"
    yield folder / "none", {}, Reason.DATA_SET, "a folder of pictures"
    alike = folder / "alike"
    write_plates(alike, 1, 22)
    yield alike, {"part_pattern": "("}, Reason.USAGE, "--part"
    yield alike, {"part_pattern": "plate"}, Reason.USAGE, "one group"
    yield alike, {"size": (100, 96)}, Reason.USAGE, "multiples of 32"
    yield alike, {"keep_back": 0.5}, Reason.DATA_SET, "left to learn from"
    broken = folder / "broken"
    shutil.copytree(alike, broken)
    (broken / "plate_003.png").write_bytes(b"no picture")
    yield broken, {}, Reason.IMAGE, ""


def test_sets_that_nothing_can_be_learned_from(tmp_path):
    for folder, changes, reason, words in bad_sets(tmp_path):
        with pytest.raises(FramegateError) as caught:
            learn_part(folder, Plan("p", 1, **{"keep_back": 0.0, **changes}), NOBODY, quiet)
        assert caught.value.reason == reason and words in str(caught.value), str(caught.value)


def test_no_part_is_on_both_sides(tmp_path):
    write_plates(tmp_path / "good", 1, 24)
    for number, path in enumerate(sorted((tmp_path / "good").iterdir())):
        path.rename(path.with_name(f"exp{number % 3}_num_{number // 3}.png"))
    pictures = read_sound(tmp_path / "good", r"num_([0-9]+)")
    assert len({one.part for one in pictures}) == 8
    folds = folds_of([one.part for one in pictures], 4)
    by_part = {one.part: set() for one in pictures}
    for one, fold in zip(pictures, folds, strict=True):
        by_part[one.part].add(fold)
    assert all(len(mine) == 1 for mine in by_part.values()) and set(folds) == {0, 1, 2, 3}


def test_masks_lie_beside_pictures_and_are_none(tmp_path):
    picture = np.zeros((20, 30), np.uint8)
    (tmp_path / "a.jpg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
    mask = picture.copy()
    mask[2:4, 2:9] = 255
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    (tmp_path / "b.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    assert [p.name for p in picture_paths(tmp_path)] == ["a.jpg", "b.png"]
    assert mask_of(tmp_path / "a.jpg", (20, 30)).sum() == 14
    assert mask_of(tmp_path / "b.png", (20, 30)) is None
    with pytest.raises(Malformed, match="a mask of 31x20"):
        mask_of(tmp_path / "a.jpg", (20, 31))
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(Malformed, match="no picture"):
        mask_of(tmp_path / "a.jpg", (20, 30))


@pytest.mark.parametrize("count", [12, 40, 400, 3000])
def test_the_threshold_keeps_its_promise_on_average(count):
    rng = np.random.default_rng(count)
    above = [
        float((rng.normal(0, 0.3, 4000) > hardly_above(seen, 0.01)).mean())
        for seen in (rng.normal(0, 0.3, count) for _ in range(40))
    ]
    assert np.mean(above) < 0.0135


@pytest.mark.parametrize("rate", [0.01, 0.05])
@pytest.mark.parametrize("count", [120, 396, 397, 403])
def test_the_promised_rate_is_met_and_not_undercut(count, rate):
    """A threshold at the next sound picture above the rate would be up to twice as strict."""
    rng = np.random.default_rng(count)
    above = [
        float((rng.exponential(1, 4000) > hardly_above(rng.exponential(1, count), rate)).mean())
        for _ in range(400)
    ]
    assert 0.88 * rate < np.mean(above) < 1.12 * rate


@pytest.mark.parametrize("count", [12, 60, 400])
def test_values_of_one_part_count_as_one(count):
    """A part that was judged twice is no second part: fewer would be allowed for."""
    seen = np.random.default_rng(count).normal(0, 1, count)
    once, twice = hardly_above(seen, 0.01), hardly_above(np.repeat(seen, 2), 0.01, 2)
    assert twice == pytest.approx(once, rel=0.05)
    assert twice >= hardly_above(np.repeat(seen, 2), 0.01)


def test_directions_that_never_varied_are_not_made_much_of():
    rows = np.random.default_rng(1).normal(0, 1, (500, 6)).astype(np.float32)
    rows[:, 5] = rows[:, 4]
    space = whitened(rows, 0.02)
    spread = ((rows - space.mean) @ space.whitening).std(axis=0)
    assert np.isfinite(spread).all() and spread.max() < 2


def test_damage_is_seen_and_leaves_the_rest_alone():
    rng = np.random.default_rng(4)
    for _ in range(30):
        sound = plate(rng)
        shown = damaged(sound, rng)
        change = np.abs(shown.picture.astype(int) - sound.astype(int))
        assert change[shown.where].mean() >= 4 and shown.where.mean() < 0.1
        near = cv2.dilate(shown.where.astype(np.uint8), np.ones((25, 25))) > 0
        assert change[~near].sum() == 0


@pytest.mark.plants  # learning takes half a minute of a processor
def test_the_command_says_what_was_learned_and_is_measured(plates, tmp_path, monkeypatch):
    # what it calls is learned once for all tests: that takes seconds
    monkeypatch.setattr("framegate_models.learn.learn_part", lambda *_: plates.learned)
    out = tmp_path / "plates"
    arguments = ["learn", "--good", str(plates.good), "--out", str(out), "--size", "256x192"]
    arguments += ["--threads", "1"]
    done = RUN.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "false alarms promised: 1 %" in done.output and "unsigned" in done.output
    assert (tmp_path / "plates.pictures" / "bad.png").exists()
    again = RUN.invoke(app, arguments)
    assert again.exit_code == 7 and "nothing is overwritten" in again.output
    figures = ["evaluate", "--bundle", str(out), "--good", str(plates.fresh)]
    figures += ["--bad", str(plates.scratched), "--threads", "1"]
    table = RUN.invoke(app, figures)
    assert table.exit_code == 0 and "area under ROC, pictures" in table.output
    body = json.loads(RUN.invoke(app, [*figures, "-o", "json"]).stdout)
    assert body["good_images"] == 12 and body["classes"]["scratched"]["images"] == 12


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["evaluate"], 1, "--data DIR for pairs"),
        (["evaluate", "--good", "{good}"], 1, "of the kind anomaly"),
        (["learn", "--good", "/none", "--out", "{out}"], 7, "a folder of pictures"),
        (["learn", "--good", "{good}", "--out", "{out}", "--size", "big"], 1, "--size WxH"),
    ],
)
def test_commands_that_cannot_be_done(arguments, code, words, tmp_path):
    write_plates(tmp_path / "good", 1, 1)
    places = {"good": tmp_path / "good", "out": tmp_path / "out"}
    done = RUN.invoke(app, [one.format(**places) for one in arguments])
    assert words in done.output and done.exit_code == code, done.output
