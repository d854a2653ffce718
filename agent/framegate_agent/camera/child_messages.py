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
LEFT_OUT: Final = b"(%d bytes without a space: the rest of the line is left out)" % MAX_LINE
_SPACE: Final = re.compile(rb"\s")
_UTF8: Final = 4
"""Bytes of a character at most."""
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
    credentials, and no password of `source` in whatever form, nor a part of one.
    """
    lines, foreign = _Lines(_passwords(source)), source.startswith("exec:")
    while piece := await said.read(MAX_LINE):
        for line in lines.whole(piece):
            os.write(to, _told(line, lines.hidden, foreign=foreign))
        os.write(to, _shown(lines.begun(), lines.hidden))
    if lines.left:
        os.write(to, _told(lines.left, lines.hidden, foreign=foreign))


class _Lines:
    """What was said so far, in lines. Of one that is too long a piece goes out before its end, and
    ends where nothing that has to be masked can lie across: behind white space, of which an address
    has none, and within no known password.
    """

    def __init__(self, hidden: tuple[str, ...]) -> None:
        self.hidden, self.left, self._skips = hidden, b"", False

    def whole(self, piece: bytes) -> list[bytes]:
        """The lines that `piece` ends; what is left has no end yet."""
        if self._skips:
            end = piece.find(b"\n")
            if end < 0:
                return []
            piece, self._skips = piece[end:], False
        *ended, self.left = (self.left + piece).split(b"\n")
        return ended

    def begun(self) -> bytes:
        """What may go out of a line that has no end yet: nothing, unless it is too long. One that
        has no white space for as long may be an address, and is left out to its end.
        """
        if len(self.left) <= MAX_LINE:
            return b""
        spaces = [found.end() for found in _SPACE.finditer(self.left)]
        at = next((s for s in reversed(spaces) if not self._is_across(s)), 0)
        if not at:
            self.left, self._skips = b"", True
            return LEFT_OUT
        piece, self.left = self.left[:at], self.left[at:]
        return piece

    def _is_across(self, at: int) -> bool:
        """Whether a password may have begun before `at` and not ended."""
        longest = max(map(len, self.hidden), default=0)
        before = self.left[max(0, at - _UTF8 * longest) : at].decode(errors="replace")
        return any(
            before.endswith(secret[:length])
            for secret in self.hidden
            for length in range(1, len(secret))
        )


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
