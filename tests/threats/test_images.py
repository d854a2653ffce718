"""N103, N108, N109: images that are bombs, broken, spoilt or frozen; cameras that send too much."""

import asyncio
import os
import time

import cv2
import numpy as np
import pytest

from framegate.errors import Reason, Refused
from framegate.wire import ENCODING_JPEG, ENCODING_PNG
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.engine import DEPTH
from framegate_gateway.inference.inspector import golden_of
from framegate_simulators.boards.boards import draw_board
from support.boards import moved
from support.engine import png_that_claims, refused_image
from support.frames import replace_head
from support.refusals import refused


async def test_n103_image_bombs_and_broken_images(engine):
    for layer in ("no network", "no files", "system calls", "not dumpable"):
        assert layer in engine.isolation
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    assert (
        await refused_image(
            engine, png_that_claims(100_000, 100_000), ENCODING_PNG, (100_000, 100_000)
        )
        == Reason.IMAGE
    )
    assert (
        await refused_image(engine, png_that_claims(100_000, 100_000), ENCODING_PNG) == Reason.IMAGE
    )
    assert await refused_image(engine, jpeg[:100]) == Reason.IMAGE
    assert await refused_image(engine, jpeg, ENCODING_PNG) == Reason.IMAGE
    assert await refused_image(engine, jpeg, size=(320, 640)) == Reason.IMAGE
    assert await refused_image(engine, b"") == Reason.IMAGE
    assert await refused_image(engine, os.urandom(5000)) == Reason.IMAGE
    assert await refused_image(engine, b"GIF89a" + bytes(100)) == Reason.IMAGE
    small = cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1].tobytes()
    assert await refused_image(engine, small, size=(64, 64)) == Reason.IMAGE, (
        "not of the golden image's size"
    )
    assert await refused_image(engine, jpeg, part="unknown") == Reason.PART_UNKNOWN
    assert await refused_image(engine, jpeg, part="../../etc/passwd") == Reason.PART_UNKNOWN
    assert (await engine.inspect("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640)) is not None, (
        "the child lives on"
    )


async def test_n126_a_small_file_that_is_a_large_picture_keeps_nobody_waiting(engine):
    flat = np.zeros((6000, 6000), np.uint8)
    bomb = cv2.imencode(".png", flat, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    assert len(bomb) < 200_000
    begun = time.perf_counter()
    cv2.imdecode(np.frombuffer(bomb, np.uint8), cv2.IMREAD_GRAYSCALE)
    decoding_s = time.perf_counter() - begun
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    await engine.inspect("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640)
    begun = time.perf_counter()
    for _ in range(10):
        assert await refused_image(engine, bomb, ENCODING_PNG, (6000, 6000)) == Reason.IMAGE
    refusing_s = time.perf_counter() - begun
    assert refusing_s < 5 * decoding_s, "ten are refused before half of them could be decoded"
    # what is announced is not what is in the file: refused by the file's own header
    assert await refused_image(engine, bomb, ENCODING_PNG) == Reason.IMAGE


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


BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


SPOILT = {
    "covered": (lambda i: np.full_like(i, 9), Reason.IMAGE_COVERED),
    "dark": (lambda i: (i * 0.3).astype(np.uint8), Reason.IMAGE_EXPOSURE),
    "over-exposed": (
        lambda i: np.clip(i.astype(int) + 150, 0, 255).astype(np.uint8),
        Reason.IMAGE_EXPOSURE,
    ),
    "defocused": (lambda i: cv2.GaussianBlur(i, (0, 0), 6), Reason.IMAGE_DEFOCUS),
    "another part": (
        lambda i: draw_board(3, design=44, defects=0, clean_capture=True).frame,
        Reason.REGISTRATION,
    ),
    "upside down": (lambda i: i[::-1].copy(), Reason.REGISTRATION),
    "out of its place": (lambda i: moved(i, 120, 80), Reason.REGISTRATION),
}


@pytest.mark.parametrize("case", SPOILT)
def test_N109_frames_that_show_nothing_worth_inspecting(inspector, case):
    spoil, reason = SPOILT[case]
    with pytest.raises(Refused) as caught:
        inspector.prepare(spoil(BOARD.frame), golden_of(BOARD.golden))
    assert caught.value.reason == reason, str(caught.value)


@pytest.mark.parametrize("size", [(0, 0), (100_000, 100_000), (1, 64 * 1024 * 1024 + 1)])
def test_n103_announced_dimensions(door, size):
    link, session = door.opened()
    frame = session.seal(replace_head(width=size[0], height=size[1]), b"image")
    assert (
        refused(lambda: link.admit(link.open_frame(frame.metadata, frame.sealed))) == Reason.IMAGE
    )


def test_n103_unknown_encoding(door):
    link, session = door.opened()
    frame = session.seal(replace_head(encoding=9), b"image")
    assert (
        refused(lambda: link.admit(link.open_frame(frame.metadata, frame.sealed))) == Reason.IMAGE
    )


def test_n109_the_same_image_under_another_trigger_is_a_frozen_camera(door):
    link, session = door.opened()
    for number, image, reason in (
        (1, b"a", None),
        (2, b"b", None),
        (3, b"a", Reason.FRAME_FROZEN),
        (4, b"c", None),
    ):
        frame = session.seal(replace_head(trigger_sequence=number), image)
        if reason:
            assert (
                refused(lambda f=frame: link.admit(link.open_frame(f.metadata, f.sealed))) == reason
            )
        else:
            assert link.admit(link.open_frame(frame.metadata, frame.sealed)).image == image
