"""What libraries say of a source is passed on as theirs; what a maker's program says, as it is."""

import asyncio
import os

import pytest

from framegate_agent.camera.child_messages import pass_on

OPENCV = b"[ WARN:0@0.256] global cap_v4l.cpp:914 open VIDEOIO(V4L2:/dev/video9): can't open camera"
USELESS = (
    b"[ WARN:0@0.25] global cap.cpp:475 open VIDEOIO(V4L2): backend is generally available but "
    b"can't be used to capture by index"
)
FFMPEG = b"[rtsp @ 0x55e1e87b8140] method DESCRIBE failed: 401 Unauthorized"


async def passed(tmp_path, source: str, *lines: bytes) -> str:
    said = asyncio.StreamReader()
    said.feed_data(b"\n".join(lines))
    said.feed_eof()
    path = tmp_path / "log"
    to = os.open(path, os.O_CREAT | os.O_WRONLY)
    await pass_on(said, source, to)
    os.close(to)
    return path.read_text()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (OPENCV, "framegate: OpenCV: open VIDEOIO(V4L2:/dev/video9): can't open camera\n"),
        (FFMPEG, "framegate: FFmpeg, rtsp: method DESCRIBE failed: 401 Unauthorized\n"),
        (USELESS, ""),
        (b"framegate: unavailable: expected x", "framegate: unavailable: expected x\n"),
        (b"[not @ theirs] and [ WARN] neither", "[not @ theirs] and [ WARN] neither\n"),
        (b"", "\n"),
    ],
)
async def test_lines_of_libraries(tmp_path, line, told):
    assert await passed(tmp_path, "device:9", line, b"x") == told + "x\n"


async def test_a_makers_program_speaks_for_itself(tmp_path):
    said = await passed(tmp_path, "exec:sdk", OPENCV, USELESS, FFMPEG)
    assert said.encode() == b"\n".join([OPENCV, USELESS, FFMPEG]) + b"\n"


async def test_a_password_is_in_no_line_of_a_library(tmp_path):
    source = "rtsp://operator:S3cr3t@127.0.0.1:9/stream"
    lines = (b"[tcp @ 0x1a] to S3cr3t failed", b"[ WARN:0@1.1] global a.cpp:1 open " + b"S3cr3t")
    told = await passed(tmp_path, source, *lines)
    assert "S3cr3t" not in told and told.count("***") == 2
