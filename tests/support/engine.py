"""The engine and images that are none."""

import asyncio
import struct
import zlib
from pathlib import Path

import pytest

from framegate.errors import FramegateError, Reason
from framegate.wire import ENCODING_JPEG
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.parts import GoldenImages
from framegate_simulators.boards.camera import write_golden


def png_that_claims(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    data = zlib.compress(b"\0" * 1000)
    idat = b"IDAT" + data
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", len(data))
        + idat
        + struct.pack(">I", zlib.crc32(idat))
    )


@pytest.fixture
async def engine(tmp_path: Path):
    """A running engine with the default model and one golden image."""
    write_golden(tmp_path, [1])
    running = Engine(load_bundle(DEFAULT_BUNDLE), GoldenImages((tmp_path,)), threads=1)
    await running.start()
    serving = asyncio.create_task(running.run())
    yield running
    serving.cancel()
    await running.stop()


async def refused_image(
    engine,
    data: bytes,
    encoding: int = ENCODING_JPEG,
    size: tuple[int, int] = (640, 640),
    part: str = "drawn-1",
) -> Reason:
    with pytest.raises(FramegateError) as caught:
        await engine.inspect(CameraFrame("cam", part, data, encoding, *size))
    return caught.value.reason
