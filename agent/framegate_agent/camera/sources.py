"""Frame sources, run inside the capture child (`capture_child`): a folder of images, a video, an
OpenCV device or an RTSP address.

A source yields pictures; the child blanks what the masks cover, encodes, and writes `Captured`
records, each followed by the image, to its standard output. Other sources (a maker's SDK, a
simulator) are programs that write the same records and are named as `exec:COMMAND`; what they write
passes through here too, so that no picture leaves unmasked. `address:FILE` is any of these, in a
file.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate.redaction import ENCODED, clipped, holds_credentials, redacted
from framegate.wire import ENCODING_JPEG, MAX_FRAME_BYTES, RECENT_FRAMES, Captured
from framegate_agent.camera.look import look_at, write_look
from framegate_agent.camera.masking import Masker
from framegate_agent.camera.pictures import decoded, encoded, picture_of
from framegate_agent.camera.sealing import Sealer
from framegate_host.printing import say

UNNAMED: Final = "part"
"""The type of parts of which nobody says what they are."""
MAX_HEAD_BYTES: Final = 4096
"""A `captured` record is some hundred bytes."""
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
    """Every image of a folder, by name: parts of `part_type`, or where that is empty each of a type
    of its own. `X_test.jpg` beside `X_temp.jpg` (DeepPCB's way) is part X; the templates are not
    frames.
    """

    def __init__(self, folder: Path, part_type: str = "") -> None:
        self._folder, self._part_type = folder, part_type

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
                image = decoded(path.read_bytes())
            except (Malformed, OSError) as error:
                say(f"framegate: {path.name!a} skipped: {error}")
                continue
            stem = path.stem.removesuffix("_test")
            yield Shot(stem, self._part_type or stem, image)


class VideoSource:
    """A video file, a device number or an RTSP address, through OpenCV. `part_type` is what the
    line makes, `part` where that is empty.
    """

    def __init__(self, address: str, part_type: str, after: int = 0) -> None:
        """`after` parts were read of it before: the next is counted on from there."""
        self._address, self._part_type = address, part_type or UNNAMED
        self._after = after

    def __iter__(self) -> Iterator[Shot]:
        if self._address.isdigit():
            capture = cv2.VideoCapture(int(self._address), cv2.CAP_V4L2)
        elif Path(self._address).is_char_device():  # /dev holds files too: /dev/shm
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
        count = self._after
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
    told = False
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
        if sequence - first_sequence <= RECENT_FRAMES and not told:
            told = True
            say(
                f"framegate: {sequence - first_sequence} pictures, now again from the first: "
                f"within a session a gateway refuses one that is among the last {RECENT_FRAMES} "
                "(frame-frozen)",
            )


def relay(program: IO[bytes], out: BinaryIO, sealer: Sealer) -> None:
    """Pass on what a foreign capture program writes, of whatever kind, once `sealer` has taken out
    what is masked; a payload in which that cannot be done is left out, and its trigger stays
    missing.

    Whatever that program says of masks is not believed. Raises Malformed where it does not keep the
    protocol.
    """
    while (frame := _read_frame(program)) is not None:
        try:
            head, data = sealer.masked(frame.head, frame.data)
        except FramegateError as error:
            say(f"framegate: {frame.head.part!a} is not sealed: {error}")
            continue
        _write(out, head, data)


class _Frame(NamedTuple):
    """A frame of a foreign program, as it came."""

    head: Captured
    data: bytes


def _read_frame(program: IO[bytes]) -> _Frame | None:
    """The next frame, None where there is no more. Raises Malformed."""
    size = program.read(4)
    if not size:
        return None
    head = Captured.parse(program.read(min(int.from_bytes(size, "big"), MAX_HEAD_BYTES)))
    if head.size > MAX_FRAME_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a frame of at most {MAX_FRAME_BYTES} bytes", head.size
        )
    data = program.read(head.size)
    return _Frame(head, data) if len(data) == head.size else None


def _write(out: BinaryIO, head: Captured, data: bytes) -> None:
    raw = head.marshal()
    out.write(struct.pack(">I", len(raw)) + raw)
    out.write(data)
    out.flush()


def open_source(text: str, part_type: str, after: int = 0) -> FrameSource:
    """The source that `text` names: folder:PATH, video:PATH, device:N or rtsp://…, of which `after`
    parts were read before it broke off; raises Unavailable for anything else.
    """
    kind, _, rest = text.partition(":")
    if kind == "folder":
        return FolderSource(Path(rest), part_type)
    if kind in {"video", "device"}:
        return VideoSource(rest, part_type, after)
    if kind in {"rtsp", "rtsps"}:
        return VideoSource(text, part_type, after)
    wanted = "folder:PATH, video:PATH, device:N, rtsp://…, exec:COMMAND or address:FILE"
    raise Unavailable.of(Reason.USAGE, wanted, clipped(ascii(text), 80))


def look_once(source: Iterable[Shot], out: BinaryIO, masker: Masker) -> None:
    """Measure the source's first part, masked as its frames will be. Raises Unavailable where it
    gives none.
    """
    shot = next(iter(source), None)
    if shot is None:
        wanted, hint = "a frame", "does the source give any? is it in use elsewhere?"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, "the source ended before", hint)
    masker.apply(shot.image)
    write_look(out, look_at(shot.part, shot.part_type, shot.image), shot.image)


def relayed(program: IO[bytes]) -> Iterator[Shot]:
    """What a foreign capture program writes, decoded. Raises Malformed as `relay`."""
    while (frame := _read_frame(program)) is not None:
        yield Shot(frame.head.part, frame.head.part_type, picture_of(frame.head, frame.data))
