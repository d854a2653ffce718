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
from framegate.wire import NO_MODEL
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.bundle import (
    DEFAULT_BUNDLE,
    load_bundle,
    parse_bundle,
    read_bundle_files,
)
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.ports.gateway_status import StatusReport
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.verdicts.journal import Journal
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
    assert (
        await models.inspect(digest, CameraFrame("cam", "drawn-1", jpeg, 1, 640, 640))
    ).golden_sha256
    files = dict(models.bundle.files)
    files["card.json"] += b" "
    models.engine.bundle = replace(
        models.bundle, files=files
    )  # bytes that changed in memory, by whatever means
    await until(lambda: told, 20)
    assert told[0].reason == Reason.MODEL
    with pytest.raises(Refused) as caught:
        await models.inspect(digest, CameraFrame("cam", "drawn-1", jpeg, 1, 640, 640))
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
        assert model_gate.events[-1] == f"model-refused {reason}"
        assert model_gate.switched == [NO_MODEL], "what it says that it runs from here on"
        with pytest.raises(
            Refused
        ) as caught:  # it runs a model that nobody approved: nothing is inspected
            await model_gate.models.inspect(
                running, CameraFrame("cam", "drawn-1", jpeg, 1, 640, 640)
            )
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
    await until(lambda: len(model_gate.switched) > 1, 30)
    assert model_gate.switched[0] == NO_MODEL, "until the approved one has proved itself"
    assert await model_gate.models.inspect(
        model_gate.switched[1].hex(), CameraFrame("cam", "drawn-1", jpeg, 1, 640, 640)
    )
    with pytest.raises(Refused) as caught:
        await model_gate.models.inspect(before, CameraFrame("cam", "drawn-1", jpeg, 1, 640, 640))
    assert caught.value.reason == Reason.MODEL


def switched_to(gate: Pinned) -> bytes:
    """The model that it says it runs since the last pin, empty where that is none."""
    return b"".join(gate.switched[-1:]).replace(NO_MODEL, b"")


async def test_N104_an_older_version_is_refused_unless_it_is_meant(model_gate, keys, tmp_path):
    first, second = (
        another_version(model_gate.store / "v21", 21),
        another_version(model_gate.store / "v22", 22),
    )
    model_gate.apply(pin_of(second, sequence=1))
    await until(lambda: switched_to(model_gate), 30)
    model_gate.apply(pin_of(first, sequence=2, approved=(load_bundle(second).digest.hex(),)))
    await until(lambda: "model-refused model-rollback" in model_gate.events, 20)
    assert model_gate.models.bundle.recipe.version == 22 and model_gate.models.barred is None, (
        "the approved one goes on"
    )
    model_gate.apply(pin_of(first, sequence=3, rollback=1))
    await until(lambda: model_gate.models.bundle.recipe.version == 21, 30)
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
        await until(lambda: switched_to(model_gate) or model_gate.events, 30)
    finally:
        stop.set()
        racing.join()
    (folder / "model.onnx").write_bytes(files["model.onnx"])
    await until(lambda: switched_to(model_gate), 30)
    assert model_gate.models.bundle.digest == parsed.digest and model_gate.models.bundle.rehash(), (
        "the bytes that were hashed are the bytes that run"
    )


# ---------------------------------------------------------------- a gateway that starts under a pin
# whose model is no good


async def test_N104_a_gateway_that_starts_under_a_bad_pin_says_so_and_recovers_by_itself(
    model_gate,
):
    shipped = model_gate.models.bundle.digest
    bad = another_version(model_gate.store / "v60", 60)
    pin = pin_of(bad)
    (bad / "card.json").write_text("{}")
    model_gate.apply(pin)
    await until(lambda: model_gate.events, 30)
    assert model_gate.switched == [NO_MODEL] and model_gate.models.barred is not None
    report = StatusReport(
        keys=GatewayKeys("a:1", "a:2", shipped),
        view=TrustView(None, AccessView(None, lambda: None)),
        models=model_gate.models,
        journal=Journal(),
        pinned=model_gate.pinned,
    )
    said = (await report.reply()).model_state
    assert said.startswith("nothing is inspected") and "60 is pinned and not in force" in said
    # rolled back to the shipped one, though the pinned bundle is still not there
    model_gate.apply(replace(pin, sequence=2, approved=(shipped.hex(),)))
    assert model_gate.switched == [NO_MODEL, shipped] and model_gate.models.barred is None
    good = another_version(model_gate.store / "v61", 61)
    model_gate.apply(pin_of(good, sequence=3))
    digest = load_bundle(good).digest
    await until(lambda: model_gate.switched[-1] == digest, 30)
    assert (await report.reply()).model_state.startswith("pinned, signed by")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"sequence": 1}', '{"sequence": "x"}'])
def test_N104_a_damaged_memory_of_pins_is_no_leave_to_begin_anew(tmp_path, keys, damage):
    (tmp_path / "model-pin.json").write_text(damage)
    with pytest.raises(Refused) as caught:
        Pinned(keys, tmp_path, tmp_path)
    assert caught.value.reason == Reason.MODEL and "model-pin.json" in str(caught.value)
