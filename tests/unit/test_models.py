"""N104, N105 and what a model bundle must be: signatures, files, graphs, known answers, pins, and a swap between two frames."""

import asyncio
import json
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.signed.model import SIGNATURE_NAME, bundle_digest, sign_model, verify_model
from framegate.signed.pin import ModelPin, anchor_of, key_anchor, verify_model_pin
from framegate.wire import sha256
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, MIN_KNOWN, load_bundle, parse_bundle, read_bundle_files, write_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.graph import verify_graph
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.inference.pinned_model import PinnedModel
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.networks import network, value

VECTORS = Path(__file__).parent.parent / "vectors" / "model_signing"
NOW = datetime(2027, 1, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def digests(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def anchor(key=KEY) -> str:
    return key_anchor(key.public_key())


@pytest.fixture
def bundle(tmp_path) -> Path:
    """The default bundle, signed, in a folder of its own."""
    folder = tmp_path / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, folder)
    (folder / SIGNATURE_NAME).write_bytes(sign_model("bundle", digests(folder), KEY))
    return folder


# ---------------------------------------------------------------- signatures


VECTOR_FILES = digests(VECTORS / "model")
VECTOR_KEY = load_pem_public_key((VECTORS / "key.pub.pem").read_bytes())
VECTOR_ROOT = x509.load_pem_x509_certificate((VECTORS / "root.pem").read_bytes())
SIGNER = "release@framegate.example"


def test_signatures_of_the_openssf_tool_hold():
    assert verify_model((VECTORS / "key.sig").read_bytes(), VECTOR_FILES, keys=[VECTOR_KEY]).digest == bundle_digest(VECTOR_FILES)
    assert verify_model((VECTORS / "codeSigning.sig").read_bytes(), VECTOR_FILES, roots=[VECTOR_ROOT], signers=[SIGNER], now=NOW).signer == SIGNER


@pytest.mark.parametrize(
    ("name", "given_", "words"),
    [
        ("codeSigning.sig", {"roots": [VECTOR_ROOT], "signers": ["mallory"]}, "a signer among"),
        ("codeSigning.sig", {"roots": [VECTOR_ROOT]}, "a signer among"),
        ("clientAuth.sig", {"roots": [VECTOR_ROOT], "signers": [SIGNER]}, "code signing"),  # the tool itself accepts this one
        ("codeSigning.sig", {"keys": [VECTOR_KEY]}, "a trusted root"),
        ("codeSigning.sig", {"roots": [VECTOR_ROOT], "signers": [SIGNER], "now": datetime(2040, 1, 1, tzinfo=UTC)}, "lives now"),
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
        verify_model(json.dumps(body).encode(), {**VECTOR_FILES, "model.onnx": bytes(32)}, keys=[KEY.public_key()])


@given(st.binary(max_size=200))
def test_signatures_of_any_bytes_raise_only_our_errors(data):
    good = sign_model("m", VECTOR_FILES, KEY)
    for raw in (data, good[: len(data) * 3], good.replace(b"sha256", data[:6] or b"x")):
        if raw == good:
            continue
        with pytest.raises(FramegateError):
            verify_model(raw, VECTOR_FILES, keys=[KEY.public_key()])


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_what_we_sign_we_accept_in_both_modes(curve):
    key = ec.generate_private_key(curve)
    assert verify_model(sign_model("m", VECTOR_FILES, key), VECTOR_FILES, keys=[key.public_key()])
    with pytest.raises(Refused, match="certificate of the signing key"):
        sign_model("m", VECTOR_FILES, key, [VECTOR_ROOT])
    with pytest.raises(Refused, match="a key on one of"):
        sign_model("m", VECTOR_FILES, ec.generate_private_key(ec.SECP256K1()))


def test_a_certificate_of_a_p521_chain_signs(tmp_path):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    root_key, key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1())
    builder = x509.CertificateBuilder().issuer_name(name).not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
    root = (
        builder.subject_name(name)
        .public_key(root_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(root_key, hashes.SHA384())
    )
    leaf = builder.subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ci")])).public_key(key.public_key()).serial_number(2)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.RFC822Name("ci@plant.example")]), critical=False).sign(root_key, hashes.SHA384())
    signature = sign_model("m", VECTOR_FILES, key, [leaf])
    assert verify_model(signature, VECTOR_FILES, roots=[root], signers=["ci"], now=NOW).signer == "ci"


# ---------------------------------------------------------------- files of a bundle


@pytest.mark.parametrize("name", ["extra.txt", "known/00_test.jpg", "model.onnx.data", ".hidden", "known/evil.py"])
def test_N104_extra_files_are_refused_by_name(bundle, name):
    (bundle / name).write_bytes(b"x")
    with pytest.raises(Malformed, match=name.replace(".", r"\.")):
        load_bundle(bundle)


def test_N104_links_and_folders_are_refused_by_name(bundle, tmp_path):
    (bundle / "deep").mkdir()
    with pytest.raises(Malformed, match="deep"):
        load_bundle(bundle)
    (bundle / "deep").rmdir()
    (bundle / "card.json").unlink()
    (bundle / "card.json").symlink_to("/etc/hostname")
    with pytest.raises(Malformed, match=r"a link or device 'card\.json'"):
        load_bundle(bundle)
    linked = tmp_path / "linked"
    linked.symlink_to(bundle)
    with pytest.raises(Unavailable):
        load_bundle(linked)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "known/../../x", "known/00_test.png/x", "model.sig"])
def test_N104_names_that_lead_out_of_a_bundle(name):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    with pytest.raises(Malformed):
        parse_bundle({**files, name: b"x"})


def test_N104_every_file_of_a_bundle_is_in_its_digest(bundle):
    before = load_bundle(bundle).digest
    for name in ("card.json", "known-answers.json", "weights.onnx"):
        original = (bundle / name).read_bytes()
        (bundle / name).write_bytes(original + b" ")
        assert load_bundle(bundle).digest != before, name
        (bundle / name).write_bytes(original)
    (bundle / SIGNATURE_NAME).write_bytes(b"another")
    assert load_bundle(bundle).digest == before, "the signature is over the rest"


def test_bundles_are_written_once(tmp_path):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    write_bundle(tmp_path / "b", files)
    assert load_bundle(tmp_path / "b").digest == load_bundle(DEFAULT_BUNDLE).digest
    with pytest.raises(Unavailable, match="empty folder"):
        write_bundle(tmp_path / "b", files)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0}, {"threshold": 1.0}, {"classes": []}, {"classes": ["a", "a"]}, {"version": 0}, {"name": "../x"}, {"calibration": [0, 0]}, {"calibration": [1]},
        {"model_sha256": "00"}, {"more": 1}, {"multiple_px": 0},
    ],
)  # fmt: skip
def test_recipes_out_of_range(change):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    recipe = {**json.loads(files["recipe.json"]), **change}
    with pytest.raises(Malformed):
        parse_bundle({**files, "recipe.json": json.dumps(recipe).encode()})


def test_known_answers_without_their_images_and_images_without_answers():
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    with pytest.raises(Malformed, match="two images"):
        parse_bundle({n: d for n, d in files.items() if n != "known/00_temp.png"})
    with pytest.raises(Malformed, match="known answer for every image"):
        parse_bundle({**files, "known/99_test.png": b"x"})


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
    return network(initializers=[numpy_helper.from_array(weights, "wh"), numpy_helper.from_array(np.zeros((4, 2, 8, 8), np.float32), "wg")])


def hidden_in_a_branch() -> bytes:
    evil = helper.make_node("Evil", ["pair"], ["z"], domain="com.mallory")
    branch = helper.make_graph([evil], "b", [], [value("z", 6)])
    conv = [helper.make_node("Conv", ["pair", w], [o], kernel_shape=[8, 8], strides=[8, 8]) for w, o in (("wh", "heat"), ("wg", "geometry"))]
    return network([*conv, helper.make_node("If", ["c"], ["unused"], then_branch=branch, else_branch=branch)])


BAD_GRAPHS = {
    "no-onnx": (b"x" * 100, "an ONNX model|nodes"),
    "empty": (b"", "nodes"),
    "name-is-no-text": (network().replace(b"Conv", b"\x80onv"), "names of operators as text"),
    "custom-domain": (network([helper.make_node("Evil", ["pair"], ["heat"], domain="com.mallory"), helper.make_node("Identity", ["pair"], ["geometry"])], domains=(("", 17), ("com.mallory", 1))), "custom operator"),
    "unused-domain": (network(domains=(("", 17), ("com.mallory", 1))), "custom operator"),
    "unknown-operator": (network([helper.make_node("NoSuchThing", ["pair"], ["heat"]), helper.make_node("Identity", ["pair"], ["geometry"])]), "custom operator"),
    "in-a-branch": (hidden_in_a_branch(), "custom operator"),
    "external-data": (external(), r"a path, '../../../etc/shadow'"),
    "nan": (with_nan(), "NaN or infinity"),
    "two-inputs": (network(inputs=[value("pair", 2), value("more", 1)]), "the input pair"),
    "another-input": (network(inputs=[value("image", 2)]), "the input pair"),
    "another-output": (network(outputs=[value("heat", 6), value("geometry", 4), value("more", 1)]), "the outputs heat"),
    "five-classes": (network(outputs=[value("heat", 5), value("geometry", 4)]), "heat as float32"),
    "doubles": (network(inputs=[value("pair", 2, TensorProto.DOUBLE)]), "pair as float32"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_N104_graphs_that_are_refused_by_name(case):
    data, words = BAD_GRAPHS[case]
    with pytest.raises(Malformed, match=words) as caught:
        verify_graph(data, 6)
    assert caught.value.reason == Reason.MODEL_GRAPH


def test_the_default_network_is_a_graph_as_it_must_be():
    verify_graph(load_bundle(DEFAULT_BUNDLE).model, 6)
    verify_graph(network(), 6)


@given(st.binary(max_size=400), st.integers(0, 2_000))
def test_graphs_of_any_bytes_raise_only_our_errors(data, at):
    raw = bytearray(network())
    raw[at % len(raw) : at % len(raw) + len(data)] = data
    for candidate in (data, bytes(raw)):
        try:
            verify_graph(candidate, 6)
        except Malformed:
            continue


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


# ---------------------------------------------------------------- a model that deviates while it runs


async def test_N105_a_deviation_stops_inference_and_says_so(tmp_path):
    write_golden(tmp_path, [1])
    told: list[FramegateError] = []

    async def failed(_bundle, error):
        told.append(error)

    models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,)), 1, failed=failed, watch_s=0.05)
    digest = models.bundle.digest.hex()
    await models.start()
    jpeg = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    assert (await models.inspect(digest, "cam", "drawn-1", jpeg, 1, 640, 640)).golden_sha256
    files = dict(models.bundle.files)
    files["card.json"] += b" "
    models.engine.bundle = replace(models.bundle, files=files)  # bytes that changed in memory, by whatever means
    await asyncio.wait_for(_until(lambda: told), 20)
    assert told[0].reason == Reason.MODEL
    with pytest.raises(Refused) as caught:
        await models.inspect(digest, "cam", "drawn-1", jpeg, 1, 640, 640)
    assert caught.value.reason == Reason.MODEL, "every frame is UNINSPECTED from here on"
    await models.stop()


async def _until(condition):  # what is awaited has no event of its own
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


# ---------------------------------------------------------------- pins


def pin_of(bundle: Path, **changes) -> ModelPin:
    found = load_bundle(bundle)
    made = ModelPin(
        zone="line-1",
        sequence=1,
        model_sha256=found.digest.hex(),
        name=found.recipe.name,
        version=found.recipe.version,
        signer="key",
        anchor=anchor(),
        rollback=0,
        approved=(),
        issued_at_ms=0,
    )
    return replace(made, **changes)


def sealed(keys, pin: ModelPin, purpose: str = "model") -> bytes:
    signer = keys.signing[purpose]
    return pin.seal(signer.der, signer.sign)


def test_N104_pins_that_do_not_count(keys, bundle):
    now, root, pin = datetime.now(UTC), keys.root.certificate, pin_of(bundle)
    assert verify_model_pin(sealed(keys, pin), "line-1", root, now) == pin
    cases = [
        (sealed(keys, pin), "line-2", (0, ""), Reason.MODEL),
        (sealed(keys, pin), "line-1", (2, ""), Reason.MODEL_ROLLBACK),
        (sealed(keys, pin), "line-1", (1, "ff" * 32), Reason.MODEL_ROLLBACK),
        (sealed(keys, replace(pin, anchor="key:AAAA")), "line-1", (0, ""), Reason.MODEL),
        (sealed(keys, replace(pin, anchor="pgp:AAAA")), "line-1", (0, ""), Reason.MODEL),
        (sealed(keys, replace(pin, model_sha256="short")), "line-1", (0, ""), Reason.MODEL),
    ]
    for data, zone, least, reason in cases:
        with pytest.raises(FramegateError) as caught:
            verify_model_pin(data, zone, root, now, least=least)
        assert caught.value.reason == reason
    with pytest.raises(FramegateError):
        verify_model_pin(sealed(keys, pin, "mask"), "line-1", root, now)
    assert anchor_of(anchor())[0]


class Pinned:
    """A zone's gateway without a network: models that start, and the follower of its pin."""

    def __init__(self, keys, folder: Path, golden: Path) -> None:
        self.keys, self.folder = keys, folder
        self.store = folder / "models"
        self.store.mkdir(parents=True, exist_ok=True)
        self.models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages((golden,)), 1)
        self.switched: list[bytes] = []
        self.events: list[str] = []
        self.pinned = PinnedModel(folder, (self.store,), self.models, self.switched.append, self._event, lambda: datetime.now(UTC))

    async def _event(self, event: str, detail) -> None:
        self.events.append(f"{event} {detail.get('reason', '')}".strip())

    def apply(self, pin: ModelPin) -> None:
        self.pinned.apply(sealed(self.keys, pin), "line-1", self.keys.root.certificate)


def another_version(folder: Path, version: int, *, key=KEY) -> Path:
    """The default bundle under another version, signed."""
    shutil.copytree(DEFAULT_BUNDLE, folder)
    recipe = {**json.loads((folder / "recipe.json").read_text()), "version": version}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / SIGNATURE_NAME).write_bytes(sign_model("bundle", digests(folder), key))
    return folder


@pytest.fixture
async def gate(keys, tmp_path):
    write_golden(tmp_path / "golden", [1])
    made = Pinned(keys, tmp_path / "state", tmp_path / "golden")
    await made.models.start()
    task = asyncio.create_task(made.pinned.follow())
    yield made
    task.cancel()
    await made.models.stop()


async def test_a_swap_drops_no_frame_and_each_is_inspected_by_the_model_its_grant_names(gate):
    before = gate.models.bundle.digest.hex()
    coming = another_version(gate.store / "v9", 9)
    jpeg = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    answered, stop = [], asyncio.Event()

    async def line() -> None:
        while not stop.is_set():
            granted = gate.switched[-1].hex() if gate.switched and len(answered) % 2 else before  # an old grant runs on beside new ones
            answered.append((granted, await gate.models.inspect(granted, "cam", "drawn-1", jpeg, 1, 640, 640)))

    running = asyncio.create_task(line())
    await _until(lambda: len(answered) > 3)
    gate.apply(pin_of(coming, approved=(before,)))
    await asyncio.wait_for(_until(lambda: gate.switched), 30)
    after = len(answered)
    await _until(lambda: len(answered) > after + 6)
    stop.set()
    await running
    assert gate.models.bundle.digest == load_bundle(coming).digest and gate.events == ["model-switched"]
    assert {granted for granted, _ in answered} == {before, load_bundle(coming).digest.hex()}
    assert all(inspection.golden_sha256 for _, inspection in answered), "every frame has its answer"


async def test_N104_a_pinned_bundle_that_is_swapped_unsigned_or_by_another_key_never_runs(gate):
    jpeg = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    running = gate.models.bundle.digest.hex()
    for number, (spoil, reason) in enumerate([
        (lambda folder: (folder / SIGNATURE_NAME).unlink(), Reason.MODEL_SIGNATURE),
        (lambda folder: (folder / SIGNATURE_NAME).write_bytes(sign_model("m", digests(folder), ec.generate_private_key(ec.SECP256R1()))), Reason.MODEL_SIGNATURE),
        (lambda folder: (folder / "card.json").write_text("{}"), Reason.MODEL),
    ], start=1):  # fmt: skip
        folder = another_version(gate.store / f"v{number + 10}", number + 10)
        pin = pin_of(folder, sequence=number)
        spoil(folder)
        gate.apply(pin)
        await asyncio.wait_for(_until(lambda wanted=number: len(gate.events) == wanted), 20)
        assert gate.events[-1] == f"model-refused {reason}" and not gate.switched
        with pytest.raises(Refused) as caught:  # it runs a model that nobody approved: nothing is inspected
            await gate.models.inspect(running, "cam", "drawn-1", jpeg, 1, 640, 640)
        assert caught.value.reason == Reason.MODEL
        shutil.rmtree(folder)


async def test_N104_frames_granted_for_a_model_that_is_no_longer_approved_are_not_inspected(gate):
    before = gate.models.bundle.digest.hex()
    jpeg = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    gate.apply(pin_of(another_version(gate.store / "v41", 41)))  # approves nothing but itself
    await asyncio.wait_for(_until(lambda: gate.switched), 30)
    assert await gate.models.inspect(gate.switched[0].hex(), "cam", "drawn-1", jpeg, 1, 640, 640)
    with pytest.raises(Refused) as caught:
        await gate.models.inspect(before, "cam", "drawn-1", jpeg, 1, 640, 640)
    assert caught.value.reason == Reason.MODEL


async def test_N104_an_older_version_is_refused_unless_it_is_meant(gate, keys, tmp_path):
    first, second = another_version(gate.store / "v21", 21), another_version(gate.store / "v22", 22)
    gate.apply(pin_of(second, sequence=1))
    await asyncio.wait_for(_until(lambda: len(gate.switched) == 1), 30)
    gate.apply(pin_of(first, sequence=2, approved=(load_bundle(second).digest.hex(),)))
    await asyncio.wait_for(_until(lambda: "model-refused model-rollback" in gate.events), 20)
    assert gate.models.bundle.recipe.version == 22 and gate.models.barred is None, "the approved one goes on"
    gate.apply(pin_of(first, sequence=3, rollback=1))
    await asyncio.wait_for(_until(lambda: len(gate.switched) == 2), 30)
    assert gate.models.bundle.recipe.version == 21
    again = Pinned(keys, gate.folder, tmp_path / "golden")  # a restart remembers
    for stale in (pin_of(second, sequence=1), pin_of(second, sequence=3)):
        with pytest.raises(Refused) as caught:
            again.apply(stale)
        assert caught.value.reason == Reason.MODEL_ROLLBACK
    with pytest.raises(Refused, match="or later"):
        again.pinned.apply(b"", "line-1", keys.root.certificate)


async def test_N104_files_swapped_between_check_and_load_are_not_what_runs(gate):
    folder = another_version(gate.store / "v31", 31)
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
        gate.apply(pin)
        await asyncio.wait_for(_until(lambda: gate.switched or gate.events), 30)
    finally:
        stop.set()
        racing.join()
    (folder / "model.onnx").write_bytes(files["model.onnx"])
    await asyncio.wait_for(_until(lambda: gate.switched), 30)
    assert gate.models.bundle.digest == parsed.digest and gate.models.bundle.rehash(), "the bytes that were hashed are the bytes that run"
