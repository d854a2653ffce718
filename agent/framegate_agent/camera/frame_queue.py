"""A source's frames that have no verdict yet: those that wait to be sealed, and those on their
way.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from framegate.wire import Captured
from framegate_agent.camera.session import FrameSession

QUEUE: Final = 64
"""Frames waiting to be sealed while a gateway is sought: some two seconds of a fast camera, ten
megabytes; one more and the oldest is UNINSPECTED.
"""
PATIENCE_S: Final = 2.0
"""How long a frame waits for a gateway, or is sent again to another after its first went away;
parts on a line do not wait longer.
"""
MAX_IN_FLIGHT: Final = 16
"""Frames sent and not answered; the gateway cuts a device off at 64."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A captured frame and when it came, on the monotonic clock."""

    head: Captured
    image: bytes
    came_at_s: float


@dataclass(frozen=True, slots=True)
class SentFrame:
    """A frame on its way: the session that sealed it, and under which counter."""

    frame: CapturedFrame
    session: FrameSession
    counter: int


class FrameQueue:
    """`waiting` in the order they go out; `sent` by trigger; `resent` counts frames that were sent
    and are sent again.
    """

    def __init__(self) -> None:
        self.waiting: deque[CapturedFrame] = deque()
        self.sent: OrderedDict[int, SentFrame] = OrderedDict()
        self.resent = 0

    def stale(self) -> Iterator[CapturedFrame]:
        """Take out what has waited for longer than `PATIENCE_S`."""
        while self.waiting and self.waiting[0].came_at_s < time.monotonic() - PATIENCE_S:
            yield self.waiting.popleft()

    def send_again(self) -> None:
        """What was sent and not answered goes out again, first of all; a part that then gets two
        verdicts goes by its first.
        """
        for sent in reversed(self.sent.values()):
            self.waiting.appendleft(sent.frame)
            self.resent += 1
        self.sent.clear()
