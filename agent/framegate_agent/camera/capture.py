"""The capture child as the agent sees it: a process without the TPM's address or any secret, that
writes frames to a pipe and is told the masks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from framegate.errors import FramegateError, Malformed, Reason, Unavailable
from framegate.redaction import redacted
from framegate.signed.inspected import Polygon
from framegate.signed.mask import Masks
from framegate.wire import MAX_FRAME_BYTES, MAX_FRAME_PIXELS, Captured
from framegate_agent.camera.child_messages import pass_on
from framegate_agent.camera.look_record import Look, parse_look
from framegate_agent.camera.source_names import named_source, require_kind
from framegate_host.child_process import OWN_PYTHON, inherited_environment
from framegate_host.confinement import EXIT_UNCONFINED, QUIET
from framegate_host.programs import way_to

log = logging.getLogger(__name__)
_MAX_HEAD: Final = 4096
LAST_WORDS_S: Final = 1.0
MAX_PNG_BYTES: Final = 4 * MAX_FRAME_PIXELS
"""A grey PNG has hardly more bytes than pixels."""
LIVE: Final = ("rtsp:", "rtsps:", "device:")
"""Sources that have no end of their own: where one stops, a cable or a camera's supply did."""
FIRST_WAIT_S: Final = 1.0
MOST_WAIT_S: Final = 30.0
"""Until a live source is opened again: a camera that starts takes some ten seconds, and a wrong
address must fill no log."""
LOOK_S: Final = 20.0
"""A network camera takes some seconds to its first key frame, a maker's program to start."""


def _is_live(source: str) -> bool:
    """Whether it has no end of its own. One that is no source at all stays none."""
    try:
        return named_source(source).startswith(LIVE)
    except FramegateError:
        return False


class Capture:
    """One source's capture child. `frames` runs it; `set_masks` holds from the next frame on, for
    this child and its successors.
    """

    def __init__(
        self,
        source: str,
        *,
        part_type: str,
        rate: float,
        repeat: bool,
        unconfined: bool = False,
        payloads: tuple[str, ...] = (),
    ) -> None:
        """`payloads` are packages of further kinds (`framegate_host.payload_kinds`). Raises
        Unavailable where what reads pictures is not installed, Malformed for no kind of source.
        """
        _require_pictures()
        require_kind(source)
        self._source, self._payloads = source, payloads
        self._argv = [
            *OWN_PYTHON,
            "-m",
            "framegate_agent.camera.capture_child",
            "--part-type",
            part_type,
            "--rate",
            str(rate),
            *(["--repeat"] if repeat else []),
            *(["--unconfined"] if unconfined else []),
        ]
        self._line = mask_line(0, b"", ())
        self._child: asyncio.subprocess.Process | None = None

    def set_masks(self, masks: Masks) -> None:
        """Blank these from the next frame on."""
        self._line = mask_line(masks.version, masks.sha256, masks.polygons, masks.channels)
        child = self._child
        if child is not None and child.stdin is not None and not child.stdin.is_closing():
            child.stdin.write(self._line)

    async def frames(self) -> AsyncIterator[tuple[Captured, bytes]]:
        """Frames until the source ends. One that gives none at all, and a live one (`LIVE`) that
        breaks off, is opened again and counted on: a folder may not be mounted so far. Where its
        child cannot be confined there are none. Raises Malformed on a child that does not keep the
        protocol.
        """
        taken, wait_s = 0, FIRST_WAIT_S
        while True:
            before = taken
            async with self._running("--after", str(taken)) as child:
                async for frame in _read(child):
                    taken += 1
                    yield frame
            unconfined = child.returncode == EXIT_UNCONFINED  # and said so
            if unconfined or (taken and not _is_live(self._source)):
                return
            wait_s = FIRST_WAIT_S if taken > before else min(2 * wait_s, MOST_WAIT_S)
            what = (
                f"broke off after {taken - before} frames" if taken > before else "gives no frame"
            )
            shown = redacted(self._source)
            log.warning("%s %s; it is opened again in %g s", shown, what, wait_s)
            await asyncio.sleep(wait_s)

    async def look(self) -> Looked:
        """One frame, masked as all are, measured in the child's cage. Raises Unavailable where none
        comes within `LOOK_S`, Malformed where the child writes something else.
        """
        async with self._running("--look") as child:
            try:
                async with asyncio.timeout(LOOK_S):
                    return await _read_look(child)
            except TimeoutError as error:
                wanted, hint = f"a frame within {LOOK_S:g} s", "is the camera on? does it answer?"
                raise Unavailable.of(Reason.UNAVAILABLE, wanted, "none", hint) from error

    @asynccontextmanager
    async def _running(self, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The child, started with the arguments `more` and ended afterwards; what it says is passed
        on.
        """
        with tempfile.TemporaryDirectory(prefix="framegate-capture-") as scratch:
            child = await self._start(scratch, *more)
            said = child.stderr
            messages = asyncio.create_task(pass_on(said, self._source)) if said else None
            try:
                yield child
            finally:
                self._child = None
                if child.returncode is None:
                    _end(child)
                try:
                    await child.wait()
                    if messages is not None:
                        await asyncio.wait({messages}, timeout=LAST_WORDS_S)
                finally:
                    _let_go(child, messages)
                await asyncio.sleep(0)
                shown = redacted(self._source)
                log.info("capture child of %s ended with %s", shown, child.returncode)

    async def _start(self, scratch: str, *more: str) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            *self._argv,
            *more,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited_environment(), **QUIET},
            close_fds=True,
            start_new_session=True,
        )
        if child.stdin is None:
            raise RuntimeError("the child has no pipes")
        self._child = child
        child.stdin.write(first_line(self._source, scratch, self._payloads))
        child.stdin.write(self._line)
        return child


def _require_pictures() -> None:
    """The child would only die of it, again and again."""
    if find_spec("cv2") is None or find_spec("numpy") is None:
        hint = way_to("camera")
        raise Unavailable.of(Reason.UNAVAILABLE, "OpenCV and NumPy for a --source", "none", hint)


@dataclass(frozen=True, slots=True)
class Looked:
    """One frame of a source as PNG, and what it shows."""

    look: Look
    png: bytes


async def _read_look(child: asyncio.subprocess.Process) -> Looked:
    """See `look.write_look`."""
    if child.stdout is None:
        raise RuntimeError("the child has no pipes")
    parts: list[bytes] = []
    try:
        for most in (_MAX_HEAD, MAX_PNG_BYTES):
            size = int.from_bytes(await child.stdout.readexactly(4), "big")
            if size > most:
                wanted = f"at most {most} bytes from the capture child"
                raise Malformed.of(Reason.TOO_LARGE, wanted, size)
            parts.append(await child.stdout.readexactly(size))
        return Looked(parse_look(parts[0]), parts[1])
    except asyncio.IncompleteReadError as error:
        wanted, hint = "a frame of the source", "the line above says why"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, "none", hint) from error
    except (ValueError, TypeError, KeyError) as error:
        raise Malformed.of(Reason.MALFORMED, "a look", type(error).__name__) from error


async def _read(
    child: asyncio.subprocess.Process,
) -> AsyncIterator[tuple[Captured, bytes]]:
    """What the child writes, until it ends. Raises Malformed where that is no frame."""
    if child.stdout is None:
        raise RuntimeError("the child has no pipes")
    while True:
        try:
            size = int.from_bytes(await child.stdout.readexactly(4), "big")
            if size > _MAX_HEAD:
                raise Malformed.of(
                    Reason.TOO_LARGE,
                    f"a head of at most {_MAX_HEAD} bytes from the capture child",
                    size,
                )
            head = Captured.parse(await child.stdout.readexactly(size))
            if head.size > MAX_FRAME_BYTES:
                raise Malformed.of(
                    Reason.TOO_LARGE, f"a frame of at most {MAX_FRAME_BYTES} bytes", head.size
                )
            yield head, await child.stdout.readexactly(head.size)
        except asyncio.IncompleteReadError:
            return


def _let_go(child: asyncio.subprocess.Process, messages: asyncio.Task[None] | None) -> None:
    """Let go of the child's pipes, however the wait for its last words ended: what it started may
    hold them, and go on writing.
    """
    if messages is not None:
        messages.cancel()
    child._transport.close()  # type: ignore[attr-defined] # nothing public lets go


def _end(child: asyncio.subprocess.Process) -> None:
    """Kill the child and what it started: a maker's program must not go on holding the camera."""
    try:
        os.killpg(child.pid, 9)
    except (ProcessLookupError, PermissionError):
        child.kill()


def first_line(source: str, scratch: str, payloads: tuple[str, ...] = ()) -> bytes:
    """What `capture_child` reads first: its source, a folder for a maker's program's files, and
    packages of further kinds of payloads.
    """
    body = {"source": source, "scratch": scratch, "payloads": payloads}
    return json.dumps(body).encode() + b"\n"


def mask_line(
    version: int, digest: bytes, polygons: tuple[Polygon, ...], channels: tuple[str, ...] = ()
) -> bytes:
    """The line that `Masker.take` reads."""
    body: dict[str, Any] = {"version": version, "sha256": digest.hex(), "polygons": polygons}
    body["channels"] = channels
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"
