"""N104, N105: models swapped, unsigned or rolled back in service, or that deviate as they run."""

import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import FramegateError, Reason, Refused
from framegate.signed.model import SIGNATURE_NAME, sign_model
from framegate.signed.pin import anchor_of, verify_model_pin
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.bundle import (
    DEFAULT_BUNDLE,
    load_bundle,
    parse_bundle,
    read_bundle_files,
)
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.networks import network
from support.models import Pinned, anchor, another_version, digests, pin_of, sealed_pin
from support.waiting import until

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
