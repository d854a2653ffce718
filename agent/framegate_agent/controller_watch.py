"""Whether the controller that answers is the one that answered before, or an older copy of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from cryptography import x509

from framegate.errors import Failure, FramegateError, Refused
from framegate.record.verify import LogAnchor
from framegate_host.seen_log import SeenLog
from framegate_proto.edge import from_log_position, to_seen_log
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
FILE = "record-head"
"""In the agent's folder: the last head of the controller's record that it was shown."""


BEATS: Final = 12
"""Heartbeats of an interval."""
MIN_BEAT_S: Final = 1.0
MAX_BEAT_S: Final = 5.0
"""Each costs the controller a message to each machine."""
MAX_TOLD_S: Final = 60.0
"""Whatever a controller tells of how soon it is heard of: a dead connection is one at last."""
MIN_SILENCE_S: Final = 5.0
"""A busy controller may be late by some seconds."""
MISSED: Final = 2.4
"""Missed beats after which a connection is dead: two, and some time for the third."""


def beat_s(interval_ms: int) -> float:
    """How often to be heard of by a controller, in seconds, of a machine that attests each
    `interval_ms`.
    """
    return min(max(interval_ms / 1000 / BEATS, MIN_BEAT_S), MAX_BEAT_S)


def silence_s(every_s: float, told_ms: int = 0) -> float:
    """After how long without a word a connection is dead, where one each `every_s` was asked for
    and the controller told that the next comes within `told_ms`.
    """
    return max(MIN_SILENCE_S, MISSED * max(every_s, min(told_ms / 1000, MAX_TOLD_S)))


class ControllerWatch:
    """Follows the controller's record in `folder`, from one connection to the next (N148).

    While the controller is `behind` a camera seals nothing on its word: what it grants may have
    been taken back since. The machine goes on to attest.
    """

    def __init__(self, folder: Path) -> None:
        self._seen = SeenLog(folder / FILE)
        self.behind: tuple[Failure, ...] = ()

    def request(self, beat_s: float) -> pb.WatchRequest:
        """To be told of changes, of a heartbeat each `beat_s`, and first what goes on from the head
        that was seen last.
        """
        return pb.WatchRequest(seen=to_seen_log(self._seen.head), beat_ms=round(1000 * beat_s))

    def first_event(self, event: pb.WatchEvent, root: x509.Certificate) -> None:
        """Take in the first event of a connection, which says where the record stands.

        The record goes on from the head that was seen last (`SeenLog.follow`). Raises Refused
        (CONTROLLER_BEHIND, AUDIT), Malformed: `behind` then says why, until an event holds.
        """
        try:
            self._seen.follow(from_log_position(event), LogAnchor(root=root))
        except FramegateError as error:
            if self.behind != error.failures:
                log.error("the controller is not the one seen before: %s", error)
            self.behind = error.failures
            raise
        self.behind = ()

    def require_ahead(self) -> None:
        """That the controller is not known to be behind. Raises Refused."""
        if self.behind:
            raise Refused(self.behind)
