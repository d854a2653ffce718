"""Frame sources, run inside the capture child: a folder of images, a video, an OpenCV device or an RTSP address.

A source yields parts already encoded. The child writes them to its standard output as `Captured` records, each followed by the image.
Other sources (a maker's SDK, a simulator) are programs that write the same and are named as `exec:COMMAND`.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import cv2

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.wire import ENCODING_JPEG, MAX_FRAME_BYTES, Captured

JPEG_QUALITY: Final = 90
_IMAGES: Final = {".jpg", ".jpeg", ".png", ".bmp"}


@dataclass(frozen=True, slots=True)
class Shot:
    """One encoded frame of one part; `width` and `height` in pixels."""

    part: str
    part_type: str
    encoding: int
    width: int
    height: int
    data: bytes


class FrameSource(Protocol):
    """Whatever gives frames, one for each part."""

    def __iter__(self) -> Iterator[Shot]:
        """The parts in order; ends where the source ends."""


class FolderSource:
    """Every image of a folder, by name. `X_test.jpg` beside `X_temp.jpg` (DeepPCB's way) is a part of type X; the templates are not frames."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[Shot]:
        files = [p for p in sorted(self._folder.rglob("*")) if p.suffix.lower() in _IMAGES and not p.stem.endswith("_temp")]
        if not files:
            raise Unavailable.of(Reason.UNAVAILABLE, f"images in {self._folder}", "none", "JPEG, PNG or BMP files are read")
        for path in files:
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if image is None:
                print(f"framegate: {path.name!a} is no image that OpenCV reads; skipped", file=sys.stderr)
                continue
            stem = path.stem.removesuffix("_test")
            yield encoded(image, stem, stem)


class VideoSource:
    """A video file, a device number or an RTSP address, through OpenCV. `part_type` is what the line makes."""

    def __init__(self, address: str, part_type: str) -> None:
        self._address, self._part_type = address, part_type

    def __iter__(self) -> Iterator[Shot]:
        capture = cv2.VideoCapture(int(self._address) if self._address.isdigit() else self._address)
        if not capture.isOpened():
            raise Unavailable.of(Reason.UNAVAILABLE, f"a camera or video at {self._address}", "OpenCV cannot open it", "check the address and the user's rights (group video)")
        count = 0
        try:
            while True:
                good, image = capture.read()
                if not good:
                    return
                count += 1
                yield encoded(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), f"{self._part_type}-{count:06d}", self._part_type)
        finally:
            capture.release()


def encoded(image: Any, part: str, part_type: str) -> Shot:
    """`image` (h, w) uint8 as a JPEG shot."""
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not good or len(data) > MAX_FRAME_BYTES:
        raise Unavailable.of(Reason.IMAGE, f"a JPEG of at most {MAX_FRAME_BYTES} bytes", len(data))
    return Shot(part, part_type, ENCODING_JPEG, image.shape[1], image.shape[0], data.tobytes())


def write_shots(source: FrameSource, out: BinaryIO, *, rate: float, repeat: bool, first_sequence: int = 1) -> None:
    """Write the source's parts at `rate` a second (0: as fast as they are read); again from the start where `repeat`."""
    sequence, due = first_sequence, time.monotonic()
    while True:
        for shot in source:
            if rate > 0:
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due + 1 / rate, time.monotonic() - 1)
            head = Captured(
                part=shot.part, part_type=shot.part_type, trigger_sequence=sequence, captured_at_ms=time.time_ns() // 1_000_000, uncertainty_ms=50,
                encoding=shot.encoding, width=shot.width, height=shot.height, size=len(shot.data),
            ).marshal()  # fmt: skip
            out.write(struct.pack(">I", len(head)) + head)
            out.write(shot.data)
            out.flush()
            sequence += 1
        if not repeat:
            return


def open_source(text: str, part_type: str) -> FrameSource:
    """The source that `text` names: folder:PATH, video:PATH, device:N or rtsp://…; raises Unavailable for anything else."""
    kind, _, rest = text.partition(":")
    if kind == "folder":
        return FolderSource(Path(rest))
    if kind in {"video", "device"}:
        return VideoSource(rest, part_type)
    if kind in {"rtsp", "rtsps"}:
        return VideoSource(text, part_type)
    raise Unavailable.of(Reason.USAGE, "folder:PATH, video:PATH, device:N, rtsp://… or exec:COMMAND", ascii(text[:80]))


def main() -> None:
    """The capture child's entry: python -m framegate_agent.camera.sources SOURCE."""
    parser = argparse.ArgumentParser(description="Framegate capture child: writes frames to standard output.")
    parser.add_argument("source")
    parser.add_argument("--part-type", default="part")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--repeat", action="store_true")
    args = parser.parse_args()
    try:
        write_shots(open_source(args.source, args.part_type), sys.stdout.buffer, rate=args.rate, repeat=args.repeat)
    except FramegateError as error:
        print(f"framegate: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    except (BrokenPipeError, KeyboardInterrupt):
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
