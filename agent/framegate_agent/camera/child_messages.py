"""What a capture child and its libraries say, passed on without the camera's password.

OpenCV and FFmpeg write the address that they cannot open to standard error by themselves, and so do
makers' programs; the child, which is confined, has no thread that could look at it. The agent does.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import Final
from urllib.parse import unquote

from framegate.errors import FramegateError
from framegate.redaction import MASK, redacted, userinfo_of
from framegate_agent.camera.source_names import named_source

MAX_LINE: Final = 8192
"""Bytes of one line; what is longer is passed on in pieces."""
STANDARD_ERROR: Final = 2
_OPENCV: Final = re.compile(r"\[ ?[A-Z]+:\d+@[\d.]+\] (?:global )?(?:\S+:\d+ )?")
"""What OpenCV puts before a message: level, thread, time, its own file and line."""
_FFMPEG: Final = re.compile(r"\[(\w+) @ 0x[0-9a-f]+\] ")
"""What FFmpeg does: the part of it that speaks, and where that lies in memory."""
_NO_NEWS: Final = re.compile(r"backend is generally available but can't be used to capture")
"""Every source that cannot be opened ends with this, and the child says so itself."""
_SHORT: Final = 4
"""Characters: a password of fewer would mask half of what is said."""


async def pass_on(said: asyncio.StreamReader, source: str, to: int = STANDARD_ERROR) -> None:
    """Write what comes out of `said` to the descriptor `to`, until it ends: no address with
    credentials, and no password of `source` in whatever form.
    """
    hidden, left, foreign = _passwords(source), b"", source.startswith("exec:")
    while piece := await said.read(MAX_LINE):
        *lines, left = (left + piece).split(b"\n")
        for line in lines:
            os.write(to, _told(line, hidden, foreign=foreign))
        if len(left) > MAX_LINE:
            os.write(to, _shown(left, hidden))
            left = b""
    if left:
        os.write(to, _told(left, hidden, foreign=foreign))


def _told(line: bytes, hidden: tuple[str, ...], *, foreign: bool) -> bytes:
    """The line as it is passed on: of libraries in the words of this program, of a maker's program
    (`foreign`) as it is; empty where it is no news.
    """
    shown = _shown(line, hidden)
    if foreign:
        return shown + b"\n"
    text = shown.decode(errors="replace")
    if _NO_NEWS.search(text):
        return b""
    text = _OPENCV.sub("framegate: OpenCV: ", text, count=1)
    return _FFMPEG.sub(r"framegate: FFmpeg, \1: ", text, count=1).encode() + b"\n"


def _passwords(source: str) -> tuple[str, ...]:
    """Of the address in `source`: as it is written and as it is meant, the longer first."""
    try:
        userinfo = userinfo_of(named_source(source))
    except FramegateError:  # the child says what is wrong with it
        return ()
    secret = userinfo[1] or userinfo[0] if userinfo is not None else ""
    forms = {form for form in (secret, unquote(secret)) if len(form) >= _SHORT}
    return tuple(sorted(forms, key=len, reverse=True))


def _shown(line: bytes, hidden: tuple[str, ...]) -> bytes:
    shown = redacted(line.decode(errors="replace"))
    for secret in hidden:
        shown = shown.replace(secret, MASK)
    return shown.encode()
