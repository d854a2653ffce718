"""A source's frames that have no verdict yet: those that wait to be sealed, and those on their
way.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from framegate.errors import Reason, Unavailable
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
ANSWER_S: Final = 10.0
"""A gateway that is silent on a frame for so long has not opened it: what does not open is not
answered. Its part is long diverted; the frame counts as unanswered, and another session is opened.
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
    """A frame on its way: the session that sealed it, under which counter, and when."""

    frame: CapturedFrame
    session: FrameSession
    counter: int
    sent_at_s: float


class FrameQueue:
    """`waiting` in the order they go out; `sent` by session (hex) and counter, because triggers
    are counted anew when a source starts again; `resent` counts frames that were sent
    and are sent again.
    """

    def __init__(self) -> None:
        self.waiting: deque[CapturedFrame] = deque()
        self.sent: OrderedDict[tuple[str, int], SentFrame] = OrderedDict()
        self.resent = 0

    def stale(self) -> Iterator[CapturedFrame]:
        """Take out what has waited for longer than `PATIENCE_S`."""
        while self.waiting and self.waiting[0].came_at_s < time.monotonic() - PATIENCE_S:
            yield self.waiting.popleft()

    def require_answers(self) -> None:
        """That the oldest frame on its way is not overdue. Raises Unavailable: the conversation
        ends, and what was on its way is sent again while it is worth it.
        """
        oldest = next(iter(self.sent.values()), None)
        if oldest is not None and time.monotonic() > oldest.sent_at_s + ANSWER_S:
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                f"an answer to each frame within {ANSWER_S:g} s",
                f"silence on trigger {oldest.frame.head.trigger_sequence}",
                "is a broker between them losing or changing messages?",
            )

    def send_again(self) -> None:
        """What was sent and not answered goes out again, first of all; a part that then gets two
        verdicts goes by its first.
        """
        for sent in reversed(self.sent.values()):
            self.waiting.appendleft(sent.frame)
            self.resent += 1
        self.sent.clear()
