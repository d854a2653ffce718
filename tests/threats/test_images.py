"""N103, N108, N109: images that are bombs, broken, spoilt or frozen; cameras that send too much."""

import asyncio
import contextlib
import os
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason, Refused
from framegate.image_header import encoding_of, image_size, require_whole
from framegate.wire import ENCODING_JPEG, ENCODING_PNG
from framegate_agent.camera.sources import FolderSource, encoded
from framegate_gateway.inference.decoding import decode_gray
from framegate_gateway.inference.engine import DEPTH
from framegate_gateway.inference.gate import golden_of
from framegate_gateway.inference.jobs import CameraFrame
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
    assert (
        await engine.inspect(CameraFrame("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640))
    ) is not None, "the child lives on"


async def test_n126_a_small_file_that_is_a_large_picture_keeps_nobody_waiting(engine):
    flat = np.zeros((6000, 6000), np.uint8)
    bomb = cv2.imencode(".png", flat, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    assert len(bomb) < 200_000
    begun = time.perf_counter()
    cv2.imdecode(np.frombuffer(bomb, np.uint8), cv2.IMREAD_GRAYSCALE)
    decoding_s = time.perf_counter() - begun
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    await engine.inspect(CameraFrame("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640))
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
        await engine.inspect(CameraFrame(device, "drawn-1", jpeg, ENCODING_JPEG, 640, 640))
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
    "in a mirror": (lambda i: i[::-1].copy(), Reason.REGISTRATION),
    # it is the part, and the gate says so: what of it is not in view is not inspected
    "out of its place": (lambda i: moved(i, 120, 80), Reason.OUT_OF_PLACE),
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


def exif(orientation: int) -> bytes:
    """An APP1 segment that says so (CIPA DC-008, tag 0x0112)."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + b"\0" * 7
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


PICTURE = (np.arange(48 * 80) % 251).astype(np.uint8).reshape(48, 80)


def jpeg(*options: int, image=PICTURE) -> bytes:
    return cv2.imencode(".jpg", image, list(options))[1].tobytes()


def png(image=PICTURE) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def said_orientation(orientation: int) -> bytes:
    raw = jpeg()
    return raw[:2] + exif(orientation) + raw[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_turns_no_frame(orientation, tmp_path):
    """On the camera as at the gateway: boxes, masks and sizes are of stored pixels."""
    turned, plain = said_orientation(orientation), decode_gray(jpeg())
    assert (decode_gray(turned, claimed=(80, 48)) == plain).all()
    (tmp_path / "a.jpg").write_bytes(turned)
    (shot,) = FolderSource(tmp_path)
    assert (shot.image == plain).all()


@pytest.mark.parametrize(
    "options",
    [
        (),
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
    ],
)
def test_an_image_without_its_end_is_refused_wherever_it_was_cut(options):
    raw = jpeg(*options)
    assert decode_gray(raw).shape == PICTURE.shape
    assert decode_gray(raw + b"\0\0 what a camera puts behind").shape == PICTURE.shape
    for cut in (1, 2, 3, 50, len(raw) // 2, len(raw) - 200):
        with pytest.raises(Malformed) as caught:
            decode_gray(raw[:-cut])
        assert caught.value.reason == Reason.IMAGE
    whole = png()
    for cut in (1, 4, 12, 13, len(whole) // 2, len(whole) - 40):
        with pytest.raises(Malformed):
            decode_gray(whole[:-cut])


def test_an_end_marker_in_a_thumbnail_ends_nothing():
    raw = jpeg()
    thumbnail = b"\xff\xe1" + (2 + 4).to_bytes(2, "big") + b"\xff\xda\xff\xd9"
    with pytest.raises(Malformed):
        decode_gray(raw[:2] + thumbnail + raw[2:-2])
    assert decode_gray(raw[:2] + thumbnail + raw[2:]).shape == PICTURE.shape


def test_more_bits_than_a_byte_are_refused_and_told(tmp_path, capsys):
    deep = png(PICTURE.astype(np.uint16) * 16)
    twelve = bytearray(jpeg())
    twelve[twelve.index(b"\xff\xc0") + 4] = 12
    for raw, bits in ((deep, "16"), (bytes(twelve), "12")):
        with pytest.raises(Malformed) as caught:
            decode_gray(raw)
        (failure,) = caught.value.failures
        assert failure.expected == "8 bits a sample" and failure.actual == bits
    (tmp_path / "a.png").write_bytes(deep)
    (tmp_path / "b.jpg").write_bytes(jpeg()[:-9])
    (tmp_path / "c.png").write_bytes(png())
    assert [shot.part for shot in FolderSource(tmp_path)] == ["c"]
    told = capsys.readouterr().err
    assert "8 bits a sample" in told and "EOI" in told
    flat = np.zeros((6, 6), np.uint8)
    one = cv2.imencode(".png", flat, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()
    assert decode_gray(one).shape == (6, 6)


@given(st.binary(max_size=300))
def test_what_is_cut_or_hostile_raises_only_our_errors(data):
    for raw in (data, jpeg()[:40] + data, png()[:33] + data):
        with contextlib.suppress(Malformed):
            encoding = encoding_of(raw)
            image_size(raw, encoding)
            require_whole(raw, encoding)
