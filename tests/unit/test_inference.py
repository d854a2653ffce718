"""N103 and the model: hostile images in the real child, boards in the real model, and a child that dies."""

import asyncio
import json
import os
import signal
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate.wire import ENCODING_JPEG, ENCODING_PNG
from framegate_agent.camera.sources import FolderSource, encoded
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.detections import Detections, detections_from_maps
from framegate_gateway.inference.engine import DEPTH, Engine
from framegate_gateway.inference.image_header import image_size
from framegate_gateway.inference.parts import GoldenImages
from framegate_models.evaluate import inspector_of, measure
from framegate_simulators.boards.boards import CLASSES, draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.boards.train import drawn_pair


def png_that_claims(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    data = zlib.compress(b"\0" * 1000)
    idat = b"IDAT" + data
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", len(data)) + idat + struct.pack(">I", zlib.crc32(idat))


@pytest.fixture
async def engine(tmp_path: Path):
    write_golden(tmp_path, [1])
    running = Engine(load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,)), threads=1)
    await running.start()
    serving = asyncio.create_task(running.run())
    yield running
    serving.cancel()
    await running.stop()


async def refusal(engine, data: bytes, encoding: int = ENCODING_JPEG, size: tuple[int, int] = (640, 640), part: str = "drawn-1") -> Reason:
    with pytest.raises(FramegateError) as caught:
        await engine.inspect("cam", part, data, encoding, *size)
    return caught.value.reason


async def test_boards_pass_and_fail_as_they_should(engine):
    good = encoded(draw_board(5, design=1, defects=0, clean_capture=True).frame)
    bad = draw_board(77, design=1, defects=8, clean_capture=True)
    assert (await engine.inspect("cam", "drawn-1", good, ENCODING_JPEG, 640, 640)).defects == ()
    found = await engine.inspect("cam", "drawn-1", encoded(bad.frame), ENCODING_JPEG, 640, 640)
    assert len(found.defects) >= len(bad.defects) // 2
    assert {d["kind"] for d in found.defects} <= set(CLASSES)
    png = cv2.imencode(".png", bad.frame)[1].tobytes()
    assert len((await engine.inspect("cam", "drawn-1", png, ENCODING_PNG, 640, 640)).defects) == len(found.defects)
    picture = await engine.picture(png, ENCODING_PNG, found.defects)
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (640, 640, 3)


async def test_n103_image_bombs_and_broken_images(engine):
    assert "opens nothing" in engine.isolation and "not dumpable" in engine.isolation
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    assert await refusal(engine, png_that_claims(100_000, 100_000), ENCODING_PNG, (100_000, 100_000)) == Reason.IMAGE
    assert await refusal(engine, png_that_claims(100_000, 100_000), ENCODING_PNG) == Reason.IMAGE
    assert await refusal(engine, jpeg[:100]) == Reason.IMAGE
    assert await refusal(engine, jpeg, ENCODING_PNG) == Reason.IMAGE
    assert await refusal(engine, jpeg, size=(320, 640)) == Reason.IMAGE
    assert await refusal(engine, b"") == Reason.IMAGE
    assert await refusal(engine, os.urandom(5000)) == Reason.IMAGE
    assert await refusal(engine, b"GIF89a" + bytes(100)) == Reason.IMAGE
    small = cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1].tobytes()
    assert await refusal(engine, small, size=(64, 64)) == Reason.IMAGE, "not of the golden image's size"
    assert await refusal(engine, jpeg, part="unknown") == Reason.PART_UNKNOWN
    assert await refusal(engine, jpeg, part="../../etc/passwd") == Reason.PART_UNKNOWN
    assert (await engine.inspect("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640)) is not None, "the child lives on"


async def test_child_that_is_killed_is_replaced_and_its_frame_is_an_error(engine):
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    os.kill(engine._child.pid, signal.SIGKILL)
    assert await refusal(engine, jpeg) == Reason.INFERENCE
    assert (await engine.inspect("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640)) is not None


async def test_n108_devices_take_turns(engine):
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    order: list[str] = []

    async def one(device: str) -> None:
        await engine.inspect(device, "drawn-1", jpeg, ENCODING_JPEG, 640, 640)
        order.append(device)

    greedy = [asyncio.create_task(one("greedy")) for _ in range(8)]
    await asyncio.sleep(0)
    modest = asyncio.create_task(one("modest"))
    await asyncio.gather(*greedy, modest)
    assert order.index("modest") <= DEPTH + 1, order


def test_bundle_that_was_changed(tmp_path):
    for name in ("model.onnx", "recipe.json"):
        (tmp_path / name).write_bytes((DEFAULT_BUNDLE / name).read_bytes())
    good = load_bundle(tmp_path)
    assert good.recipe.classes == CLASSES and not good.known
    raw = bytearray((tmp_path / "model.onnx").read_bytes())
    raw[1000] ^= 1
    (tmp_path / "model.onnx").write_bytes(raw)
    with pytest.raises(Malformed) as caught:
        load_bundle(tmp_path)
    assert caught.value.reason == Reason.MODEL
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(Unavailable):
        load_bundle(tmp_path)


@pytest.mark.parametrize("recipe", ["{}", "[]", "x", '{"classes":["a"],"threshold":2,"multiple_px":32,"model_sha256":"x"}', '{"classes":[],"threshold":"a"}'])
def test_recipes_that_are_wrong(tmp_path, recipe):
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "recipe.json").write_text(recipe)
    with pytest.raises(Malformed):
        load_bundle(tmp_path)


@given(st.binary(max_size=300), st.sampled_from([ENCODING_JPEG, ENCODING_PNG, 0]))
def test_image_size_raises_only_our_errors(data, encoding):
    for raw in (data, b"\xff\xd8" + data, png_that_claims(3, 4)[:16] + data):
        try:
            assert len(image_size(raw, encoding)) == 2
        except Malformed:
            continue


@given(st.integers(1, 3000), st.integers(1, 300))
def test_image_size_of_real_images(width, height):
    image = np.zeros((height, width), np.uint8)
    assert image_size(cv2.imencode(".jpg", image)[1].tobytes(), ENCODING_JPEG) == (width, height)
    assert image_size(cv2.imencode(".png", image)[1].tobytes(), ENCODING_PNG) == (width, height)


def test_detections_are_checked_and_merged():
    with pytest.raises(ValueError, match="expected boxes"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, np.float32))
    heat, geometry = np.zeros((6, 10, 10), np.float32), np.zeros((4, 10, 10), np.float32)
    geometry[2:] = np.log(4)
    heat[0, 5, 5], heat[3, 5, 5], heat[2, 1, 1] = 0.9, 0.8, 0.5
    found = detections_from_maps(heat, geometry, 0.4)
    assert list(found.classes) == [0, 2] and list(np.round(found.boxes[0])) == [24, 24, 56, 56]


def test_boards_are_deterministic_and_their_classes_true():
    a, b = draw_board(3), draw_board(3)
    assert (a.frame == b.frame).all() and a.defects == b.defects
    goldens = [draw_board(s, design=5, clean_capture=True).golden for s in (1, 2)]
    assert (goldens[0] == goldens[1]).all()
    board = draw_board(11, defects=10, clean_capture=True)
    for d in board.defects:
        assert 0 <= d.x1 < d.x2 <= 640 and 0 <= d.y1 < d.y2 <= 640 and d.kind in CLASSES


def test_model_meets_its_card_on_boards_never_trained_on():
    bundle = load_bundle(DEFAULT_BUNDLE)
    measured = measure(inspector_of(bundle), [drawn_pair(seed) for seed in range(2_000_000, 2_000_032)])
    card = json.loads(bundle.training)["held_out"]
    assert measured.score.pooled_ap > card["map"] - 0.08 and measured.score.f > card["f"] - 0.08
    assert card["threshold"] == bundle.recipe.threshold


def test_folder_source_reads_deeppcb_names(tmp_path):
    image = np.zeros((32, 32), np.uint8)
    for name in ("a_test.jpg", "a_temp.jpg", "b.png"):
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "c.jpg").write_bytes(b"no image")
    assert [(s.part, s.part_type, s.image.shape[1]) for s in FolderSource(tmp_path)] == [("a", "a", 32), ("b", "b", 32)]
    golden = GoldenImages((tmp_path,))
    assert "a" in golden and golden.get("a").goldens[0] == (tmp_path / "a_temp.jpg").read_bytes()
