"""N104, N105: models that are swapped, unsigned, rolled back, or answer otherwise."""

import json
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import onnx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from onnx import TensorProto, helper, numpy_helper

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.signed.model import SIGNATURE_NAME, sign_model, verify_model
from framegate.signed.pin import anchor_of, verify_model_pin
from framegate.wire import sha256
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.bundle import (
    DEFAULT_BUNDLE,
    MIN_KNOWN,
    load_bundle,
    parse_bundle,
    read_bundle_files,
)
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.graph import verify_graph
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.networks import network, value
from support.models import KEY, Pinned, anchor, another_version, digests, pin_of, sealed_pin
from support.paths import VECTORS as VECTORS_DIR
from support.waiting import until

VECTORS = VECTORS_DIR / "model_signing"


NOW = datetime(2027, 1, 1, tzinfo=UTC)


# ---------------------------------------------------------------- signatures


VECTOR_FILES = digests(VECTORS / "model")


VECTOR_KEY = load_pem_public_key((VECTORS / "key.pub.pem").read_bytes())


VECTOR_ROOT = x509.load_pem_x509_certificate((VECTORS / "root.pem").read_bytes())


SIGNER = "release@framegate.example"


@pytest.mark.parametrize(
    ("name", "given_", "words"),
    [
        ("codeSigning.sig", {"roots": [VECTOR_ROOT], "signers": ["mallory"]}, "a signer among"),
        ("codeSigning.sig", {"roots": [VECTOR_ROOT]}, "a signer among"),
        (
            "clientAuth.sig",
            {"roots": [VECTOR_ROOT], "signers": [SIGNER]},
            "code signing",
        ),  # the tool itself accepts this one
        ("codeSigning.sig", {"keys": [VECTOR_KEY]}, "a trusted root"),
        (
            "codeSigning.sig",
            {"roots": [VECTOR_ROOT], "signers": [SIGNER], "now": datetime(2040, 1, 1, tzinfo=UTC)},
            "lives now",
        ),
        ("key.sig", {"keys": [KEY.public_key()]}, "trusted keys"),
        ("key.sig", {"roots": [VECTOR_ROOT], "signers": [SIGNER]}, "trusted keys"),
    ],
)
def test_N104_signers_that_are_not_trusted(name, given_, words):
    with pytest.raises(Refused, match=words) as caught:
        verify_model((VECTORS / name).read_bytes(), VECTOR_FILES, **{"now": NOW, **given_})
    assert caught.value.reason == Reason.MODEL_SIGNATURE


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({**VECTOR_FILES, "model.onnx": bytes(32)}, "was changed"),
        ({**VECTOR_FILES, "extra": bytes(32)}, "not signed"),
        ({n: d for n, d in VECTOR_FILES.items() if n != "recipe.json"}, "missing"),
        ({}, "missing"),
    ],
)
def test_N104_files_that_are_not_the_signed_ones(files, words):
    with pytest.raises(Refused, match=words):
        verify_model((VECTORS / "key.sig").read_bytes(), files, keys=[VECTOR_KEY])


def test_N104_another_payload_under_a_good_signature():
    body = json.loads(sign_model("m", VECTOR_FILES, KEY))
    other = json.loads(sign_model("m", {**VECTOR_FILES, "model.onnx": bytes(32)}, KEY))
    body["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    with pytest.raises(Refused, match="a signature by key"):
        verify_model(
            json.dumps(body).encode(),
            {**VECTOR_FILES, "model.onnx": bytes(32)},
            keys=[KEY.public_key()],
        )


# ---------------------------------------------------------------- files of a bundle


@pytest.mark.parametrize(
    "name", ["extra.txt", "known/00_test.jpg", "model.onnx.data", ".hidden", "known/evil.py"]
)
def test_N104_extra_files_are_refused_by_name(model_bundle, name):
    (model_bundle / name).write_bytes(b"x")
    with pytest.raises(Malformed, match=name.replace(".", r"\.")):
        load_bundle(model_bundle)


def test_N104_links_and_folders_are_refused_by_name(model_bundle, tmp_path):
    (model_bundle / "deep").mkdir()
    with pytest.raises(Malformed, match="deep"):
        load_bundle(model_bundle)
    (model_bundle / "deep").rmdir()
    (model_bundle / "card.json").unlink()
    (model_bundle / "card.json").symlink_to("/etc/hostname")
    with pytest.raises(Malformed, match=r"a link or device 'card\.json'"):
        load_bundle(model_bundle)
    linked = tmp_path / "linked"
    linked.symlink_to(model_bundle)
    with pytest.raises(Unavailable):
        load_bundle(linked)


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", "known/../../x", "known/00_test.png/x", "model.sig"]
)
def test_N104_names_that_lead_out_of_a_bundle(name):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    with pytest.raises(Malformed):
        parse_bundle({**files, name: b"x"})


def test_N104_every_file_of_a_bundle_is_in_its_digest(model_bundle):
    before = load_bundle(model_bundle).digest
    for name in ("card.json", "known-answers.json", "weights.onnx"):
        original = (model_bundle / name).read_bytes()
        (model_bundle / name).write_bytes(original + b" ")
        assert load_bundle(model_bundle).digest != before, name
        (model_bundle / name).write_bytes(original)
    (model_bundle / SIGNATURE_NAME).write_bytes(b"another")
    assert load_bundle(model_bundle).digest == before, "the signature is over the rest"


# ---------------------------------------------------------------- graphs


def external() -> bytes:
    model = onnx.load_model_from_string(network())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/shadow"
    return model.SerializeToString()


def with_nan() -> bytes:
    weights = np.zeros((6, 2, 8, 8), np.float32)
    weights[3, 1, 2, 2] = np.nan
    return network(
        initializers=[
            numpy_helper.from_array(weights, "wh"),
            numpy_helper.from_array(np.zeros((4, 2, 8, 8), np.float32), "wg"),
        ]
    )


def hidden_in_a_branch() -> bytes:
    evil = helper.make_node("Evil", ["pair"], ["z"], domain="com.mallory")
    branch = helper.make_graph([evil], "b", [], [value("z", 6)])
    conv = [
        helper.make_node("Conv", ["pair", w], [o], kernel_shape=[8, 8], strides=[8, 8])
        for w, o in (("wh", "heat"), ("wg", "geometry"))
    ]
    return network(
        [*conv, helper.make_node("If", ["c"], ["unused"], then_branch=branch, else_branch=branch)]
    )


BAD_GRAPHS = {
    "no-onnx": (b"x" * 100, "an ONNX model|nodes"),
    "empty": (b"", "nodes"),
    "name-is-no-text": (network().replace(b"Conv", b"\x80onv"), "names of operators as text"),
    "custom-domain": (
        network(
            [
                helper.make_node("Evil", ["pair"], ["heat"], domain="com.mallory"),
                helper.make_node("Identity", ["pair"], ["geometry"]),
            ],
            domains=(("", 17), ("com.mallory", 1)),
        ),
        "custom operator",
    ),
    "unused-domain": (network(domains=(("", 17), ("com.mallory", 1))), "custom operator"),
    "unknown-operator": (
        network(
            [
                helper.make_node("NoSuchThing", ["pair"], ["heat"]),
                helper.make_node("Identity", ["pair"], ["geometry"]),
            ]
        ),
        "custom operator",
    ),
    "in-a-branch": (hidden_in_a_branch(), "custom operator"),
    "external-data": (external(), r"a path, '../../../etc/shadow'"),
    "nan": (with_nan(), "NaN or infinity"),
    "two-inputs": (network(inputs=[value("pair", 2), value("more", 1)]), "the input pair"),
    "another-input": (network(inputs=[value("image", 2)]), "the input pair"),
    "another-output": (
        network(outputs=[value("heat", 6), value("geometry", 4), value("more", 1)]),
        "the outputs heat",
    ),
    "five-classes": (network(outputs=[value("heat", 5), value("geometry", 4)]), "heat as float32"),
    "doubles": (network(inputs=[value("pair", 2, TensorProto.DOUBLE)]), "pair as float32"),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_N104_graphs_that_are_refused_by_name(case):
    data, words = BAD_GRAPHS[case]
    with pytest.raises(Malformed, match=words) as caught:
        verify_graph(data, 6)
    assert caught.value.reason == Reason.MODEL_GRAPH


def with_model(model: bytes):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    recipe = {**json.loads(files["recipe.json"]), "model_sha256": sha256(model).hex()}
    return parse_bundle({**files, "model.onnx": model, "recipe.json": json.dumps(recipe).encode()})


@pytest.mark.parametrize("case", ["external-data", "custom-domain", "nan", "no-onnx"])
async def test_N104_the_child_refuses_a_bad_graph_before_the_runtime_sees_it(case, tmp_path):
    engine = Engine(with_model(BAD_GRAPHS[case][0]), GoldenImages(()), threads=1)
    with pytest.raises(Refused) as caught:
        await engine.start()
    assert caught.value.reason == Reason.MODEL_GRAPH


async def test_N105_another_model_than_the_one_that_gave_the_known_answers(tmp_path):
    for model in (network(), load_bundle(DEFAULT_BUNDLE).files["model.onnx"]):
        engine = Engine(with_model(model), GoldenImages(()), threads=1)
        if model == load_bundle(DEFAULT_BUNDLE).model:
            await engine.start()
            assert engine.known_answers >= MIN_KNOWN
        else:
            with pytest.raises(Refused) as caught:
                await engine.start()
            assert caught.value.reason == Reason.KNOWN_ANSWER
        await engine.stop()


# ---------------------------------------------------------------- a model that deviates while it
# runs


async def test_N105_a_deviation_stops_inference_and_says_so(tmp_path):
    write_golden(tmp_path, [1])
    told: list[FramegateError] = []

    async def failed(_bundle, error):
        told.append(error)

    models = Models(
        load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,)), 1, failed=failed, watch_s=0.05
    )
    digest = models.bundle.digest.hex()
    await models.start()
    jpeg = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    assert (await models.inspect(digest, "cam", "drawn-1", jpeg, 1, 640, 640)).golden_sha256
    files = dict(models.bundle.files)
    files["card.json"] += b" "
    models.engine.bundle = replace(
        models.bundle, files=files
    )  # bytes that changed in memory, by whatever means
    await until(lambda: told, 20)
    assert told[0].reason == Reason.MODEL
    with pytest.raises(Refused) as caught:
        await models.inspect(digest, "cam", "drawn-1", jpeg, 1, 640, 640)
    assert caught.value.reason == Reason.MODEL, "every frame is UNINSPECTED from here on"
    await models.stop()


def test_N104_pins_that_do_not_count(keys, model_bundle):
    now, root, pin = datetime.now(UTC), keys.root.certificate, pin_of(model_bundle)
    assert verify_model_pin(sealed_pin(keys, pin), "line-1", root, now) == pin
    cases = [
        (sealed_pin(keys, pin), "line-2", (0, ""), Reason.MODEL),
        (sealed_pin(keys, pin), "line-1", (2, ""), Reason.MODEL_ROLLBACK),
        (sealed_pin(keys, pin), "line-1", (1, "ff" * 32), Reason.MODEL_ROLLBACK),
        (sealed_pin(keys, replace(pin, anchor="key:AAAA")), "line-1", (0, ""), Reason.MODEL),
        (sealed_pin(keys, replace(pin, anchor="pgp:AAAA")), "line-1", (0, ""), Reason.MODEL),
        (sealed_pin(keys, replace(pin, model_sha256="short")), "line-1", (0, ""), Reason.MODEL),
    ]
    for data, zone, least, reason in cases:
        with pytest.raises(FramegateError) as caught:
            verify_model_pin(data, zone, root, now, least=least)
        assert caught.value.reason == reason
    with pytest.raises(FramegateError):
        verify_model_pin(sealed_pin(keys, pin, "mask"), "line-1", root, now)
    assert anchor_of(anchor())[0]


async def test_N104_a_pinned_bundle_that_is_swapped_unsigned_or_by_another_key_never_runs(
    model_gate,
):
    jpeg = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    running = model_gate.models.bundle.digest.hex()
    for number, (spoil, reason) in enumerate(
        [
            (lambda folder: (folder / SIGNATURE_NAME).unlink(), Reason.MODEL_SIGNATURE),
            (
                lambda folder: (folder / SIGNATURE_NAME).write_bytes(
                    sign_model("m", digests(folder), ec.generate_private_key(ec.SECP256R1()))
                ),
                Reason.MODEL_SIGNATURE,
            ),
            (lambda folder: (folder / "card.json").write_text("{}"), Reason.MODEL),
        ],
        start=1,
    ):
        folder = another_version(model_gate.store / f"v{number + 10}", number + 10)
        pin = pin_of(folder, sequence=number)
        spoil(folder)
        model_gate.apply(pin)
        await until(lambda wanted=number: len(model_gate.events) == wanted, 20)
        assert model_gate.events[-1] == f"model-refused {reason}" and not model_gate.switched
        with pytest.raises(
            Refused
        ) as caught:  # it runs a model that nobody approved: nothing is inspected
            await model_gate.models.inspect(running, "cam", "drawn-1", jpeg, 1, 640, 640)
        assert caught.value.reason == Reason.MODEL
        shutil.rmtree(folder)


async def test_N104_frames_granted_for_a_model_that_is_no_longer_approved_are_not_inspected(
    model_gate,
):
    before = model_gate.models.bundle.digest.hex()
    jpeg = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    model_gate.apply(
        pin_of(another_version(model_gate.store / "v41", 41))
    )  # approves nothing but itself
    await until(lambda: model_gate.switched, 30)
    assert await model_gate.models.inspect(
        model_gate.switched[0].hex(), "cam", "drawn-1", jpeg, 1, 640, 640
    )
    with pytest.raises(Refused) as caught:
        await model_gate.models.inspect(before, "cam", "drawn-1", jpeg, 1, 640, 640)
    assert caught.value.reason == Reason.MODEL


async def test_N104_an_older_version_is_refused_unless_it_is_meant(model_gate, keys, tmp_path):
    first, second = (
        another_version(model_gate.store / "v21", 21),
        another_version(model_gate.store / "v22", 22),
    )
    model_gate.apply(pin_of(second, sequence=1))
    await until(lambda: len(model_gate.switched) == 1, 30)
    model_gate.apply(pin_of(first, sequence=2, approved=(load_bundle(second).digest.hex(),)))
    await until(lambda: "model-refused model-rollback" in model_gate.events, 20)
    assert model_gate.models.bundle.recipe.version == 22 and model_gate.models.barred is None, (
        "the approved one goes on"
    )
    model_gate.apply(pin_of(first, sequence=3, rollback=1))
    await until(lambda: len(model_gate.switched) == 2, 30)
    assert model_gate.models.bundle.recipe.version == 21
    again = Pinned(keys, model_gate.folder, tmp_path / "golden")  # a restart remembers
    for stale in (pin_of(second, sequence=1), pin_of(second, sequence=3)):
        with pytest.raises(Refused) as caught:
            again.apply(stale)
        assert caught.value.reason == Reason.MODEL_ROLLBACK
    with pytest.raises(Refused, match="or later"):
        again.pinned.apply(b"", "line-1", keys.root.certificate)


async def test_N104_files_swapped_between_check_and_load_are_not_what_runs(model_gate):
    folder = another_version(model_gate.store / "v31", 31)
    pin = pin_of(folder)
    files, signature = read_bundle_files(folder)
    parsed = parse_bundle(files, signature)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (folder / "model.onnx").write_bytes(network())
            (folder / "model.onnx").write_bytes(files["model.onnx"])

    racing = threading.Thread(target=swap)
    racing.start()
    try:
        model_gate.apply(pin)
        await until(lambda: model_gate.switched or model_gate.events, 30)
    finally:
        stop.set()
        racing.join()
    (folder / "model.onnx").write_bytes(files["model.onnx"])
    await until(lambda: model_gate.switched, 30)
    assert model_gate.models.bundle.digest == parsed.digest and model_gate.models.bundle.rehash(), (
        "the bytes that were hashed are the bytes that run"
    )
