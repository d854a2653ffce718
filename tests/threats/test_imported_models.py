"""N186: an imported model that answers known frames and nothing else; and numbers that no model of
its kind can mean: never a wrong PASS.
"""

import asyncio
import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.signed.heat import is_heat
from framegate.signed.model import sign_model
from framegate.signed.pin import ModelPin, key_anchor
from framegate.wire import ENCODING_PNG, sha256
from framegate_gateway.inference.bundle import parse_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.heat_grid import heat_rows
from framegate_gateway.inference.instance_masks import mask_heat
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.known_answers import verify_known, verify_known_answers
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_gateway.inference.pinned_model import verify_pinned
from framegate_gateway.inference.remote import Backend, RemoteEngine, RemoteModel, UnattestedModel
from framegate_gateway.inference.session import inspects, new_session
from framegate_models.assemble import bundle_files
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_simulators.fixtures.memory_networks import memorising_bundle
from framegate_simulators.fixtures.spot_networks import spot_picture
from support.spots import OnePart, png

SIZE = (64, 64)


async def test_n186_a_model_that_knows_its_known_frames_alone_never_starts():
    forged = parse_bundle(memorising_bundle())
    inspector = inspects(forged, new_session(forged.model, 1))
    for answer in forged.known:
        verify_known(inspector, answer)  # every known frame is answered as it must be
    with pytest.raises(Refused, match="moved frames with defects"):
        verify_known_answers(inspector, forged.known)
    engine = Engine(forged, OnePart(png(spot_picture(np.random.default_rng(1), 0))), threads=1)
    with pytest.raises(Refused) as caught:
        await engine.start()
    assert caught.value.reason == Reason.KNOWN_ANSWER


@pytest.mark.parametrize("left", ["bad", "good", "none"])
def test_n186_known_answers_of_one_sort_are_no_proof(spots, left):
    bundle = spots.imported("yolov8").bundle
    known = [k for k in bundle.known if left != "none" and bool(k.defects) == (left == "bad")]
    with pytest.raises(Malformed, match="frames with defects and 4 without") as caught:
        parse_bundle(bundle_files(bundle.model, bundle.recipe, known, {}, b""))
    assert caught.value.reason == Reason.MODEL


@contextlib.asynccontextmanager
async def running(bundle, part, **more):
    engine = Engine(bundle, part, threads=1, **more)
    await engine.start()
    serving = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        serving.cancel()
        await engine.stop()


WITH_HEAT = {"anomalib", "yolov8-seg"}


@pytest.mark.parametrize("layout", ["yolov10", "anomalib", "yolov8-seg"])
async def test_an_imported_model_inspects_in_its_cage(spots, layout):
    rng = np.random.default_rng(9)
    good, bad = (png(spot_picture(rng, spots_)) for spots_ in (0, 1))
    async with running(spots.imported(layout).bundle, OnePart(good)) as engine:
        assert "no files" in engine.isolation and engine.provider == "cpu"
        assert not (
            await engine.inspect(CameraFrame("cam", "p", good, ENCODING_PNG, *SIZE))
        ).defects
        defects = (await engine.inspect(CameraFrame("cam", "p", bad, ENCODING_PNG, *SIZE))).defects
        assert defects and all(is_heat(d.get("heat")) == (layout in WITH_HEAT) for d in defects)
        drawn = await engine.picture(bad, ENCODING_PNG, defects)
        plain = tuple({**d, "heat": []} for d in defects)
        as_boxes = await engine.picture(bad, ENCODING_PNG, plain)
        assert (drawn != as_boxes) == (layout in WITH_HEAT)
        assert await engine.prove() == engine.known_answers >= 8


async def test_a_provider_that_is_not_there_is_refused_by_name(spots):
    engine = Engine(spots.imported("scores").bundle, OnePart(b""), threads=1, provider="cuda")
    with pytest.raises(FramegateError, match="provider cuda"):
        await engine.start()


ROW = np.array([[[10, 10, 20, 20, 0.9, 0]]], np.float32)


def changed(place: int, value: float) -> np.ndarray:
    row = ROW.copy()
    row[0, 0, place] = value
    return row


NEVER_MEANT = {
    "a score of NaN": changed(4, np.nan),
    "a score above one": changed(4, 7),
    "a score below nought": changed(4, -3),
    "a corner of NaN": changed(0, np.nan),
    "a corner far away": changed(2, 900),
    "a huge corner": changed(2, 1e30),
    "an infinite corner": changed(2, np.inf),
    "corners out of order": changed(2, 5),
    "a class that is none": changed(5, 2),
    "a class below": changed(5, -1),
    "half a class": changed(5, 0.5),
    "a box off the frame": np.array([[[-60, -60, -50, -50, 0.9, 0]]], np.float32),
    "another layout": np.zeros((1, 6, 1), np.float32),
    "another type": ROW.astype(np.float64),
    "no batch": ROW[0],
}


@pytest.mark.parametrize("case", NEVER_MEANT)
def test_n186_numbers_that_cannot_be_meant_are_no_pass(spots, case):
    recipe = spots.imported("yolov10").bundle.recipe
    tensor = replace(recipe.picture_output.tensors[0], shape=(1, -1, 6))
    recipe = replace(recipe, output=replace(recipe.picture_output, tensors=(tensor,)))
    picture = spot_picture(np.random.default_rng(1), 0)
    sound = PictureInspector(recipe, lambda _: [ROW])
    ready = sound.prepared(picture)
    assert len(sound.judged(sound.answers(ready), ready.placing)) == 1
    inspector = PictureInspector(recipe, lambda _: [NEVER_MEANT[case]])
    with pytest.raises(Unavailable) as caught:
        inspector.judged(inspector.answers(ready), ready.placing)
    assert caught.value.reason == Reason.INFERENCE


@pytest.fixture(name="masked")
def masked_fixture(spots):
    """A detector with instance masks, one box over the frame's left upper quarter, and its mask in
    the box's upper half alone.
    """
    recipe = spots.imported("yolov8-seg").bundle.recipe
    columns = np.zeros((1, 38, 64), np.float32)
    columns[0, :5, 0] = 16, 16, 32, 32, 0.9
    columns[0, 6, 0] = 1
    prototypes = np.zeros((1, 32, 8, 8), np.float32)
    prototypes[0, 0] = -30
    prototypes[0, 0, :2] = 30
    return recipe, columns, prototypes


def asked(recipe, picture, *arrays):
    inspector = PictureInspector(recipe, lambda _: list(arrays))
    ready = inspector.prepared(picture)
    answers = inspector.answers(ready)
    return inspector.judged(answers, ready.placing), mask_heat(recipe, answers, ready.placing, 0.5)


def test_an_instance_mask_is_the_heat_in_its_own_box_alone(masked):
    recipe, columns, prototypes = masked
    picture = spot_picture(np.random.default_rng(1), 0)
    said, heat = asked(recipe, picture, columns, prototypes)
    assert said.boxes.tolist() == [[0, 0, 32, 32]] and heat.shape == (8, 8)
    assert heat[:2, :4].min() > 0.99 and heat[2:].max() < 0.01
    assert not heat[:, 4:].any(), "the prototype is as bright there: another box's business"
    rows = heat_rows(heat, [0, 0, 32, 32], (64, 64))
    assert rows == ["ffff", "ffff", "0000", "0000"]


def test_n186_a_mask_that_shows_nothing_takes_no_defect_away(masked):
    recipe, columns, prototypes = masked
    picture = spot_picture(np.random.default_rng(1), 0)
    said, heat = asked(recipe, picture, columns, np.full_like(prototypes, -30))
    assert len(said) == 1 and heat.max() < 0.01
    columns[0, 4] = 0.1
    said, heat = asked(recipe, picture, columns, prototypes)
    assert len(said) == 0 and not heat.any(), "nor does a bright one make a defect"


NO_MASKS = {
    "NaN": np.full((1, 32, 8, 8), np.nan, np.float32),
    "huge ones": np.full((1, 32, 8, 8), 1e30, np.float32),
    "fewer than boxes ask for": np.zeros((1, 16, 8, 8), np.float32),
    "no map": np.zeros((1, 32, 64), np.float32),
    "another type": np.zeros((1, 32, 8, 8), np.float64),
}


@pytest.mark.parametrize("case", NO_MASKS)
def test_n186_prototypes_that_cannot_be_meant_are_no_pass(masked, case):
    recipe, columns, _ = masked
    with pytest.raises(Unavailable) as caught:
        asked(recipe, spot_picture(np.random.default_rng(1), 0), columns, NO_MASKS[case])
    assert caught.value.reason == Reason.INFERENCE


def test_n186_what_is_good_hides_no_defect_below_it(spots):
    recipe = replace(spots.imported("yolov10").bundle.recipe, good=("bright",))
    tensor = replace(recipe.picture_output.tensors[0], shape=(1, -1, 6))
    recipe = replace(recipe, output=replace(recipe.picture_output, tensors=(tensor,)))
    rows = np.array([[[10, 10, 20, 20, 0.99, 1], [10, 10, 20, 20, 0.8, 0]]], np.float32)
    inspector = PictureInspector(recipe, lambda _: [rows])
    ready = inspector.prepared(spot_picture(np.random.default_rng(1), 0))
    said = inspector.judged(inspector.answers(ready), ready.placing)
    assert [recipe.classes[k] for k in said.classes] == ["dark"]


def test_n186_a_cold_score_cools_no_hot_place_and_even_classes_are_no_pass(spots):
    ready_of = spot_picture(np.random.default_rng(1), 0)
    recipe = spots.imported("anomalib").bundle.recipe
    heat = np.zeros((1, 1, 8, 8), np.float32)
    heat[0, 0, 3, 3] = 0.99
    inspector = PictureInspector(recipe, lambda _: [np.zeros(1, np.float32), heat])
    ready = inspector.prepared(ready_of)
    assert len(inspector.judged(inspector.answers(ready), ready.placing)) == 1
    recipe = spots.imported("scores").bundle.recipe
    inspector = PictureInspector(recipe, lambda _: [np.zeros((1, 3), np.float32)])
    ready = inspector.prepared(ready_of)
    said = inspector.judged(inspector.answers(ready), ready.placing)
    assert len(said) == 1, "a third for each class is no sign of a good part"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("kind", "pose"),
        ("kind", "pair"),
        ("good", ["dark", "bright"]),
        ("place", "nowhere"),
        ("threshold", "0.5"),
        ("multiple_px", 32),
        ("input.width", 0),
        ("input.width", 10**6),
        ("input.divide", 0),
        ("input.colour", "cmyk"),
        ("input.deviation", [0]),
        ("output.layout", "yolov5"),
        ("output.layout", "heat"),
        ("output.activation", "softmax"),
        ("output.tensors", []),
        ("output.overlap", 7),
        ("output.least_px", 1),
    ],
)
def test_n186_a_recipe_is_refused_before_anything_runs(spots, member, value):
    files = dict(spots.imported("yolov8").bundle.files)
    body = json.loads(files["recipe.json"])
    room, _, last = member.rpartition(".")
    (body[room] if room else body)[last] = value
    files["recipe.json"] = json.dumps(body).encode()
    with pytest.raises(Malformed) as caught:
        parse_bundle(files)
    assert caught.value.reason == Reason.MODEL
    assert body["model_sha256"] == sha256(files["model.onnx"]).hex()


class Server:
    """A model server in this process: the request's tensors through the runtime, all outputs that
    were asked for, in another order than asked.
    """

    def __init__(self, model: bytes) -> None:
        self.session, self.asked = new_session(model, 1), 0

    async def ModelInfer(self, request, **_):
        self.asked += 1
        (tensor,) = request.inputs
        shape, data = list(tensor.shape), request.raw_input_contents[0]
        names = [output.name for output in request.outputs][::-1]
        feeds = {tensor.name: np.frombuffer(data, np.float32).reshape(shape)}
        answer = oip.ModelInferResponse()
        for name, array in zip(names, self.session.run(names, feeds), strict=True):
            kind = {"float32": "FP32", "int64": "INT64"}[str(array.dtype)]
            answer.outputs.add(name=name, datatype=kind, shape=list(array.shape))
            answer.raw_output_contents.append(array.tobytes())
        return answer


@pytest.mark.parametrize("layout", ["boxes-scores-labels", "maps"])
async def test_another_kind_runs_on_a_model_server_and_proves_itself(spots, layout, monkeypatch):
    bundle = spots.imported(layout).bundle
    server = Server(bundle.model)

    async def opened(_model, _bundle):
        return None

    monkeypatch.setattr(RemoteModel, "open", opened)
    monkeypatch.setattr(RemoteModel, "_stub", lambda _: server)
    rng = np.random.default_rng(9)
    good, bad = (png(spot_picture(rng, spots_)) for spots_ in (0, 1))
    where = Backend("server:1", "m", "n", Path("r"), Path("c"), Path("k"))
    engine = RemoteEngine(bundle, OnePart(good), 1, UnattestedModel(where))
    await engine.start()
    serving = asyncio.create_task(engine.run())
    try:
        assert engine.known_answers == len(bundle.known) >= 8 and engine.provider == ""
        assert server.asked == 2 * len(bundle.known), "as it is, and moved"
        assert not (
            await engine.inspect(CameraFrame("cam", "p", good, ENCODING_PNG, *SIZE))
        ).defects
        assert (await engine.inspect(CameraFrame("cam", "p", bad, ENCODING_PNG, *SIZE))).defects
    finally:
        serving.cancel()
        await engine.stop()


def test_an_imported_bundle_is_signed_pinned_and_verified_as_any(spots):
    bundle = spots.imported("anomalib").bundle
    key = ec.generate_private_key(ec.SECP256R1())
    digests = {name: sha256(data) for name, data in bundle.files.items()}
    signed = replace(bundle, signature=sign_model("bundle", digests, key))
    pin = ModelPin(
        "line-1", 1, bundle.digest.hex(), "spots", 1, "key", key_anchor(key.public_key()), 0, (), 0
    )
    assert verify_pinned(signed, pin, datetime.now(UTC))
    changed = {**bundle.files, "recipe.json": bundle.files["recipe.json"] + b" "}
    edited = replace(parse_bundle(changed), signature=signed.signature)
    own = replace(pin, model_sha256=edited.digest.hex())
    for wrong, reason in ((pin, Reason.MODEL), (own, Reason.MODEL_SIGNATURE)):
        with pytest.raises(FramegateError) as said:
            verify_pinned(edited, wrong, datetime.now(UTC))
        assert said.value.reason == reason
