"""Frame sources, run inside the capture child: a folder of images, a video, an OpenCV device or an
RTSP address.

What the source is comes as the first line on standard input: an address with a password is in no
argv. The child is confined (`caged_source`) before it opens it. A source yields pictures; the child
blanks what the masks cover, encodes, and writes `Captured` records, each followed by the image, to
its standard output. Masks come as further lines on its standard input. Other sources (a maker's
SDK, a simulator) are programs that write the same records and are named as `exec:COMMAND`; what
they write passes through here too, so that no picture leaves unmasked. `address:FILE` is any of
these, in a file.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate.image_header import encoding_of, image_size, require_whole
from framegate.redaction import ENCODED, holds_credentials, redacted
from framegate.wire import ENCODING_JPEG, MAX_FRAME_BYTES, MAX_FRAME_PIXELS, Captured
from framegate_agent.camera.caged_source import caged_source, program_paths
from framegate_agent.camera.masking import Masker
from framegate_agent.camera.source_names import named_source
from framegate_host.cages import CAPTURE_PROGRAM
from framegate_host.confinement import QUIET, Confinement, end_with_parent

JPEG_QUALITY: Final = 90
MAX_HEAD_BYTES: Final = 4096
"""A `captured` record is some hundred bytes."""
AS_STORED: Final = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
"""Grey, and never turned or mirrored by an EXIF orientation: masks are of the stored pixels."""
_BMP: Final = b"BM"
_IMAGES: Final = {".jpg", ".jpeg", ".png", ".bmp"}


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of one part: (h, w) uint8 grey. `trigger` is its trigger sequence, 0 where the
    source has no trigger and frames are counted.
    """

    part: str
    part_type: str
    image: NDArray[np.uint8]
    trigger: int = 0


class FrameSource(Protocol):
    """Whatever gives frames, one for each part."""

    def __iter__(self) -> Iterator[Shot]:
        """The parts in order; ends where the source ends."""


class FolderSource:
    """Every image of a folder, by name. `X_test.jpg` beside `X_temp.jpg` (DeepPCB's way) is a part
    of type X; the templates are not frames.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[Shot]:
        files = [
            p
            for p in sorted(self._folder.rglob("*"))
            if p.suffix.lower() in _IMAGES and not p.stem.endswith("_temp")
        ]
        if not files:
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                f"images in {self._folder}",
                "none",
                "JPEG, PNG or BMP files are read",
            )
        for path in files:
            try:
                image = _decoded(path.read_bytes())
            except (Malformed, OSError) as error:
                print(f"framegate: {path.name!a} skipped: {error}", file=sys.stderr)
                continue
            stem = path.stem.removesuffix("_test")
            yield Shot(stem, stem, image)


def _decoded(data: bytes) -> NDArray[np.uint8]:
    """The picture in `data`, (h, w) grey, its pixels as they are stored. Raises Malformed (IMAGE)
    for what does not decode, or would decode to another picture.
    """
    if not data.startswith(_BMP):
        encoding = encoding_of(data)
        image_size(data, encoding)
        require_whole(data, encoding)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), AS_STORED)
    if image is None:
        raise Malformed.of(Reason.IMAGE, "an image that OpenCV decodes", f"{len(data)} bytes")
    return np.asarray(image, np.uint8)


class VideoSource:
    """A video file, a device number or an RTSP address, through OpenCV. `part_type` is what the
    line makes.
    """

    def __init__(self, address: str, part_type: str) -> None:
        self._address, self._part_type = address, part_type

    def __iter__(self) -> Iterator[Shot]:
        if self._address.isdigit():
            capture = cv2.VideoCapture(int(self._address), cv2.CAP_V4L2)
        elif self._address.startswith("/dev/"):
            capture = cv2.VideoCapture(self._address, cv2.CAP_V4L2)
        else:
            capture = cv2.VideoCapture(self._address, cv2.CAP_FFMPEG)
        if not capture.isOpened():
            wanted = f"a camera or video at {redacted(self._address)}"
            hint = "check the address and the user's rights (group video)"
            if holds_credentials(self._address):
                hint += f"; {ENCODED}"
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, "OpenCV cannot open it", hint)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # a video's rotation turns no frame either
        count = 0
        try:
            while True:
                good, image = capture.read()
                if not good:
                    return
                count += 1
                grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
                if grey.dtype != np.uint8:
                    raise Unavailable.of(Reason.IMAGE, "frames of 8 bits a sample", grey.dtype)
                yield Shot(
                    f"{self._part_type}-{count:06d}", self._part_type, np.asarray(grey, np.uint8)
                )
        finally:
            capture.release()


def encoded(image: NDArray[np.uint8]) -> bytes:
    """`image` (h, w) as JPEG."""
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not good or len(data) > MAX_FRAME_BYTES:
        raise Unavailable.of(Reason.IMAGE, f"a JPEG of at most {MAX_FRAME_BYTES} bytes", len(data))
    return data.tobytes()


def write_shots(
    source: FrameSource,
    out: BinaryIO,
    *,
    rate: float,
    repeat: bool,
    first_sequence: int = 1,
    masker: Masker | None = None,
) -> None:
    """Write the source's parts at `rate` a second (0: as fast as they are read); again from the
    start where `repeat`.
    """
    sequence, due, masker = first_sequence, time.monotonic(), masker or Masker()
    while True:
        for shot in source:
            if rate > 0:
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due + 1 / rate, time.monotonic() - 1)
            captured_at_ms = time.time_ns() // 1_000_000
            version, digest = masker.apply(shot.image)
            data = encoded(shot.image)
            h, w = shot.image.shape
            head = Captured(
                part=shot.part,
                part_type=shot.part_type,
                trigger_sequence=shot.trigger or sequence,
                captured_at_ms=captured_at_ms,
                uncertainty_ms=50,
                encoding=ENCODING_JPEG,
                width=w,
                height=h,
                mask_version=version,
                mask_sha256=digest,
                size=len(data),
            )
            _write(out, head, data)
            sequence += 1
        if not repeat:
            return


def start_program(command: str, scratch: Path, *, required: bool) -> IO[bytes]:
    """Standard output of a foreign capture program, started in its cage (row `capture-program`);
    it dies with this process. Raises Unavailable where it does not start, or cannot be confined.
    """
    cage = Confinement(CAPTURE_PROGRAM, required=required)
    paths = program_paths(command, scratch)

    def enter() -> None:
        cage.isolate(None)
        end_with_parent()
        cage.close_paths(paths)
        cage.close_calls()

    environment = {**os.environ, "TMPDIR": str(scratch)}
    for name in QUIET:
        environment.pop(name, None)
    try:
        # no thread has been started here, which is what makes a function between fork and exec safe
        program = subprocess.Popen(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            preexec_fn=enter,  # noqa: PLW1509
        )
    except (OSError, subprocess.SubprocessError) as error:
        wanted = f"a capture program in its cage: {ascii(command)[:80]}"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, error) from error
    if program.stdout is None:
        raise RuntimeError("the program has no standard output")
    return program.stdout


def relay(program: IO[bytes], out: BinaryIO, masker: Masker) -> None:
    """Pass on what a foreign capture program writes. While masks are in force its images are
    decoded, blanked and encoded again.

    Whatever that program says of masks is not believed. Raises Malformed where it does not keep the
    protocol.
    """
    while size := program.read(4):
        head = Captured.parse(program.read(min(int.from_bytes(size, "big"), MAX_HEAD_BYTES)))
        if head.size > MAX_FRAME_BYTES:
            raise Malformed.of(
                Reason.TOO_LARGE, f"a frame of at most {MAX_FRAME_BYTES} bytes", head.size
            )
        data = program.read(head.size)
        if len(data) != head.size:
            return
        _write(out, *_masked(head, data, masker))


def _masked(head: Captured, data: bytes, masker: Masker) -> tuple[Captured, bytes]:
    if not masker.active:
        return replace(head, mask_version=0, mask_sha256=b""), data
    if not 0 < head.width * head.height <= MAX_FRAME_PIXELS:
        raise Malformed.of(
            Reason.IMAGE, f"at most {MAX_FRAME_PIXELS} pixels", f"{head.width}x{head.height}"
        )
    grey = _decoded(data)
    version, digest = masker.apply(grey)
    jpeg = encoded(grey)
    h, w = grey.shape
    return replace(
        head,
        encoding=ENCODING_JPEG,
        width=w,
        height=h,
        mask_version=version,
        mask_sha256=digest,
        size=len(jpeg),
    ), jpeg


def _write(out: BinaryIO, head: Captured, data: bytes) -> None:
    raw = head.marshal()
    out.write(struct.pack(">I", len(raw)) + raw)
    out.write(data)
    out.flush()


def open_source(text: str, part_type: str) -> FrameSource:
    """The source that `text` names: folder:PATH, video:PATH, device:N or rtsp://…; raises
    Unavailable for anything else.
    """
    kind, _, rest = text.partition(":")
    if kind == "folder":
        return FolderSource(Path(rest))
    if kind in {"video", "device"}:
        return VideoSource(rest, part_type)
    if kind in {"rtsp", "rtsps"}:
        return VideoSource(text, part_type)
    wanted = "folder:PATH, video:PATH, device:N, rtsp://…, exec:COMMAND or address:FILE"
    raise Unavailable.of(Reason.USAGE, wanted, redacted(ascii(text))[:80])


def main() -> None:
    """The capture child's entry: python -m framegate_agent.camera.sources, `first_line` on its
    standard input, masks after it.
    """
    parser = argparse.ArgumentParser(
        description="Framegate capture child: writes frames to standard output."
    )
    parser.add_argument("--part-type", default="part")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--repeat", action="store_true")
    parser.add_argument("--unconfined", action="store_true")
    args = parser.parse_args()
    code = 0
    try:
        _serve(args)
        sys.stdout.buffer.flush()
    except FramegateError as error:
        print(f"framegate: {error}", file=sys.stderr, flush=True)
        code = 1
    except (BrokenPipeError, KeyboardInterrupt):
        code = 0
    # a thread waits on standard input for masks: an orderly end of the interpreter would trip over
    # it
    os._exit(code)


def _serve(args: argparse.Namespace) -> None:
    """Confine, then open the source and write what it gives until it ends."""
    cv2.setNumThreads(1)
    told = json.loads(sys.stdin.buffer.readline())
    caged = caged_source(named_source(told["source"]))
    required = not args.unconfined
    program: IO[bytes] | None = None
    if caged.source.startswith("exec:"):
        command = caged.source.removeprefix("exec:")
        program = start_program(command, Path(told["scratch"]), required=required)
    confinement = Confinement(caged.cage, required=required)
    confinement.isolate((0, 1, 2) if program is None else (0, 1, 2, program.fileno()))
    encoded(np.zeros((8, 8), np.uint8))  # what is loaded on first use, is loaded now
    confinement.close_paths(caged.paths, caged.port)
    masker = Masker()
    if line := sys.stdin.buffer.readline():  # what holds from the first frame on
        masker.take(line)
        masker.follow(sys.stdin.buffer, lambda: _gone(program is not None))
    confinement.close_calls()
    print(f"framegate: {caged.cage.name}: {confinement.isolation}", file=sys.stderr, flush=True)
    if program is not None:
        relay(program, sys.stdout.buffer, masker)
        return
    write_shots(
        open_source(caged.source, args.part_type),
        sys.stdout.buffer,
        rate=args.rate,
        repeat=args.repeat,
        masker=masker,
    )


def _gone(has_program: bool) -> None:
    """The agent has gone: a foreign program, and what it started, must not hold the camera."""
    if has_program:
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
