"""N127: capture children in their cages, and what still comes out of them."""

import asyncio
import http.server
import io
import json
import logging
import os
import socket
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from framegate.errors import Malformed, Reason, Unavailable
from framegate_agent.camera import capture as capture_module
from framegate_agent.camera.caged_source import caged_source, program_paths
from framegate_agent.camera.capture import Capture
from framegate_host.cages import (
    CAPTURE_DEVICE,
    CAPTURE_FOLDER,
    CAPTURE_NETWORK,
    CAPTURE_RELAY,
    CAPTURE_VIDEO,
)
from support.rtsp_camera import rtsp_camera
from support.waiting import until

pytestmark = pytest.mark.slow  # each test starts a confined child

CAMERA = f"exec:{Path(sys.executable).parent}/framegate-sim camera --rate 0"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"p{number}.png"), np.full((48, 64), 40 * number, np.uint8))
    return folder


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "line.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5, (320, 240))
    for number in range(4):
        writer.write(np.full((240, 320, 3), 40 * number, np.uint8))
    writer.release()
    return path


class Mjpeg(http.server.BaseHTTPRequestHandler):
    """A network camera that sends JPEGs over HTTP."""

    def do_GET(self) -> None:
        jpeg = cv2.imencode(".jpg", np.full((240, 320), 99, np.uint8))[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        for _ in range(6):
            head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def camera_port():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@asynccontextmanager
async def never_a_frame(_capture, *_more):
    """A child whose source cannot be opened: it ends without a word."""
    out = asyncio.StreamReader()
    out.feed_eof()
    yield SimpleNamespace(stdout=out, returncode=1)


async def frames(source: str, most: int = 4) -> list:
    heads = []
    capture = Capture(source, part_type="p", rate=0, repeat=False)
    running = capture.frames()
    async for head, data in running:
        assert cv2.imdecode(np.frombuffer(data, np.uint8), 0) is not None
        heads.append(head)
        if len(heads) == most:
            break
    await running.aclose()
    return heads


async def test_confined_children_serve_frames(pictures, video, camera_port):
    assert len(await frames(f"folder:{pictures}")) == 3
    assert len(await frames(f"video:{video}")) == 4
    assert len(await frames(f"video:http://localhost:{camera_port}/s.mjpg")) == 4
    assert len(await frames(CAMERA)) == 4


async def test_a_confined_child_serves_a_network_cameras_frames(tmp_path):
    with rtsp_camera(tmp_path) as port:
        assert len(await frames(f"rtsp://user:hunter2@localhost:{port}/live", 10)) == 10


async def test_a_network_camera_that_broke_off_is_opened_again_and_counted_on(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(capture_module, "FIRST_WAIT_S", 0.0)
    with rtsp_camera(tmp_path) as port:  # it hangs up after some 60 frames
        heads = await frames(f"rtsp://user:hunter2@localhost:{port}/live", 90)
    assert [h.trigger_sequence for h in heads] == list(range(1, 91))
    assert len({h.part for h in heads}) == 90
    assert "broke off after" in caplog.text and "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "source", ["rtsp://localhost:1/live", "video:gone.mp4", "folder:/not/mounted", "exec:false"]
)
async def test_a_source_that_gives_no_frame_at_all_is_asked_again_less_and_less(
    source, monkeypatch, caplog
):
    waited = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(capture_module.asyncio, "sleep", wait)
    monkeypatch.setattr(Capture, "_running", never_a_frame)
    with pytest.raises(asyncio.CancelledError):
        await frames(source)
    assert waited == [2.0, 4.0, 8.0] and "gives no frame" in caplog.text


@pytest.mark.parametrize("source", ["fodler:/x", "", "folder", "/dev/video0", "ftp://host/x"])
def test_what_is_no_source_is_said_before_anything_starts(source):
    with pytest.raises(Malformed) as caught:
        Capture(source, part_type="p", rate=0, repeat=False)
    assert caught.value.reason == Reason.USAGE and "folder:" in str(caught.value)


@pytest.mark.parametrize("source", ["folder:/no/such", "video:/no/such.mp4", "device:250"])
def test_what_is_not_there_is_said_by_its_name(source):
    with pytest.raises(Unavailable, match="No such file"):
        caged_source(source)


async def test_n127_the_source_is_in_no_argv(pictures, tmp_path):
    secret = tmp_path / "hunter2"
    pictures.rename(secret)
    capture = Capture(f"folder:{secret}", part_type="p", rate=5, repeat=True)
    running = capture.frames()
    await anext(running)
    seen = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                seen.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    await running.aclose()
    children = [line for line in seen if b"framegate_agent.camera.capture_child" in line]
    assert children
    assert not [line for line in children if b"hunter2" in line]


REPORT = """#!/bin/sh
( cat {secret}; ls {folder}; echo x > {folder}/written
  echo x > "$TMPDIR/own" && cat "$TMPDIR/own" ) > "$TMPDIR/report" 2>&1
{python} - <<'PYTHON'
import json, os, socket, struct
from framegate.wire import Captured
told = open(os.environ["TMPDIR"] + "/report").read()
try:
    socket.socket(socket.AF_UNIX)
    told += "unix socket"
except OSError as error:
    told += error.strerror
data = told.encode()
head = Captured(part="part", part_type="type", trigger_sequence=1, captured_at_ms=1,
    uncertainty_ms=1, encoding=1, width=64, height=48, mask_version=0, mask_sha256=b"",
    size=len(data)).marshal()
os.write(1, struct.pack(">I", len(head)) + head + data)
PYTHON
"""


async def test_n127_a_makers_program_reaches_its_own_files_and_no_others(tmp_path):
    secret, shown = tmp_path / "agent.json", tmp_path / "told"
    secret.write_text("the-agents-state")
    (tmp_path / "maker").mkdir()
    program = tmp_path / "maker" / "capture.sh"
    # its command names the interpreter's folders, because this one is of a test
    folders = " ".join({sys.prefix, sys.base_prefix, *(p for p in sys.path if Path(p).is_dir())})
    program.write_text(REPORT.format(secret=secret, folder=tmp_path, python=sys.executable))
    program.chmod(0o755)
    capture = Capture(f"exec:{program} {folders}", part_type="p", rate=0, repeat=False)
    told = [data.decode() async for _, data in capture.frames()]
    assert len(told) == 1, told
    assert "the-agents-state" not in told[0]
    assert told[0].count("Permission denied") >= 3, told[0]
    assert "\nx\n" in told[0], "its folder for temporary files is its own"
    assert told[0].endswith("Operation not permitted")
    assert not shown.exists() and not (tmp_path / "written").exists()


async def test_n127_a_program_goes_with_its_child(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(capture_module, "FIRST_WAIT_S", 60.0)  # no other is started meanwhile
    caplog.set_level(logging.INFO)
    program = tmp_path / "forever.sh"
    alive = f"{os.getpid()}{id(program)}"
    program.write_text(f"#!/bin/sh\n# {alive}\nwhile :; do sleep 3600; done\n")
    program.chmod(0o755)
    capture = Capture(f"exec:{program}", part_type="p", rate=0, repeat=False)
    running = capture.frames()
    waiting = asyncio.ensure_future(anext(running))
    await until(lambda: _running(str(program)))
    before, child = set(_running(str(program))), capture._child
    assert child is not None
    child.kill()
    await until(lambda: not before & set(_running(str(program))))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await running.aclose()
    await until(lambda: not _running(str(program)))


def _running(name: str) -> list[int]:
    """Processes whose arguments name this program, and that are not on their way out."""
    pids = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and name.encode() in (entry / "cmdline").read_bytes():
                pids.append(int(entry.name))
        except OSError:
            continue
    return pids


def test_each_kind_of_source_has_its_row(tmp_path, camera_port):
    (tmp_path / "v.mp4").touch()
    for source, cage in (
        (f"folder:{tmp_path}", CAPTURE_FOLDER),
        (f"video:{tmp_path}/v.mp4", CAPTURE_VIDEO),
        ("device:/dev/null", CAPTURE_DEVICE),
        ("rtsp://127.0.0.1/1", CAPTURE_NETWORK),
        ("video:http://127.0.0.1/1", CAPTURE_NETWORK),
        ("exec:/bin/true", CAPTURE_RELAY),
    ):
        assert caged_source(source).cage is cage, source
    assert caged_source(f"folder:{tmp_path}").paths.read == (tmp_path,)
    device = caged_source("device:/dev/null").paths
    assert device.devices == (Path("/dev/null"),) and device.read == ()


def test_a_name_is_looked_up_before_the_cage_is_closed():
    caged = caged_source("rtsp://user:hunter2@localhost/live/1?x=2")
    assert caged.ports == (554,)
    assert caged.source in {
        "video:rtsp://user:hunter2@127.0.0.1:554/live/1?x=2",
        "video:rtsp://user:hunter2@[::1]:554/live/1?x=2",
    }
    assert caged_source("rtsp://127.0.0.1:9/1").ports == (9,)
    with pytest.raises(Unavailable, match="an address of the camera"):
        caged_source("rtsp://no-such-host.invalid/1")


def _resolving(monkeypatch, *addresses):
    kind = socket.SOCK_STREAM
    told = [(socket.AF_UNSPEC, kind, 0, "", (address, 1)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: told)


def test_the_address_that_takes_a_connection_is_the_cameras(monkeypatch):
    """A name with an IPv6 address first, where the camera listens on IPv4 alone."""

    def only_there(address, timeout):
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError
        asked.append((address, timeout > 0))
        return io.BytesIO()

    asked = []
    _resolving(monkeypatch, "::1", "127.0.0.1")
    monkeypatch.setattr(socket, "create_connection", only_there)
    assert caged_source("rtsp://cam:9/1").source == "video:rtsp://127.0.0.1:9/1"
    assert asked == [(("127.0.0.1", 9), True)]


def test_where_no_address_answers_the_first_one_is_tried_and_told(monkeypatch):
    def nobody(address, timeout):
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", nobody)
    _resolving(monkeypatch, "::1", "127.0.0.1")
    assert caged_source("rtsp://cam:9/1").source == "video:rtsp://[::1]:9/1"


@pytest.mark.parametrize(
    "source",
    [
        "video:file:///etc/passwd",
        "video:concat:/etc/passwd://x",
        "gopher://127.0.0.1/1",
        "rtsp://",
        "video:rtsp:///1",
        "what",
        "",
    ],
)
def test_other_sources_are_refused(source):
    with pytest.raises(Malformed) as caught:
        caged_source(source)
    assert "/etc/passwd" not in str(caught.value)


def test_a_source_whose_kind_was_forgotten_is_asked_for_with_it(pictures, video):
    for path, meant in ((pictures, "folder"), (video, "video"), ("/dev/null", "device")):
        with pytest.raises(Malformed, match=f"did you mean {meant}:{path}"):
            caged_source(str(path))
    with pytest.raises(Malformed) as refused:
        caged_source("/gone/line.mp4")
    assert not refused.value.failures[0].hint


def test_a_program_gets_what_its_command_names(tmp_path):
    program = tmp_path / "maker"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    sdk = tmp_path / "sdk"
    sdk.mkdir()
    paths = program_paths(f"{program} {sdk} / --serial=1 relative", tmp_path / "scratch")
    assert program in paths.run and sdk in paths.run and Path("/") not in paths.run
    assert Path("/etc") not in (*paths.run, *paths.read)
    assert Path(sys.prefix) not in paths.run, "this installation is for its own programs"
    assert paths.write == (tmp_path / "scratch",)
    assert Path("/dev/tpmrm0") not in paths.devices
    own = program_paths(CAMERA.removeprefix("exec:"), tmp_path)
    assert Path(sys.prefix) in own.run


def test_json_of_the_first_line():
    from framegate_agent.camera.capture import first_line

    line = first_line("rtsp://a\nb", "/tmp/x")
    assert line.count(b"\n") == 1 and json.loads(line)["source"] == "rtsp://a\nb"


def test_a_port_that_is_not_the_cameras_is_out_of_reach():
    # the hostile child of tests/threats/test_cages.py tries it; here, that the row asks for it
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert caged_source(f"rtsp://127.0.0.1:{port}/1").ports == (port,)
