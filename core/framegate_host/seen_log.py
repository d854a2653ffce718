"""The last head of the record that a program has seen, on disk: what an older copy of a controller
is told by. One line, as in a witness file.
"""

from __future__ import annotations

import logging
from pathlib import Path

from framegate.errors import Reason, Refused
from framegate.record.following import RESTORE, FollowedHead, LogPosition, follow_log_head
from framegate.record.verify import LogAnchor
from framegate.record.witness import grown, head_line, parse_head
from framegate.signed.receipt import Checkpoint
from framegate_host.private_files import keep_private
from framegate_host.witness_file import last_head

log = logging.getLogger(__name__)


class SeenLog:
    """The head in `path`, None where none was seen. Raises Malformed where the file is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._envelope = last_head(path)
        self.head: Checkpoint | None = parse_head(self._envelope) if self._envelope else None

    def follow(self, position: LogPosition | None, anchor: LogAnchor) -> FollowedHead | None:
        """Take in where the controller says its record stands (`follow_log_head`), and remember it.
        A controller that says nothing, None, has never signed a head.

        Raises Refused (CONTROLLER_BEHIND, AUDIT), Malformed; nothing is remembered then.
        """
        if position is None:
            if self.head is None:
                return None
            wanted = f"a record of at least {self.head.size} entries"
            raise Refused.of(Reason.CONTROLLER_BEHIND, wanted, "none", RESTORE)
        followed = follow_log_head(self._envelope, position, anchor)
        self._keep(followed.envelope, followed.head)
        for restoration in followed.restored:
            log.warning(
                "the controller was restored from a backup: %d entries of its record, %d left",
                restoration.seen,
                restoration.kept,
            )
        return followed

    def grow(self, envelope: bytes, anchor: LogAnchor) -> None:
        """Remember a later head of a record that was followed on this very connection; one that was
        on its way while a later one was followed says nothing new.

        Raises Refused (AUDIT, CONTROLLER_BEHIND), Malformed.
        """
        head = follow_log_head(None, LogPosition(envelope, (), ()), anchor).head
        if self.head is not None and head.restorations != self.head.restorations:
            wanted = f"a record restored {self.head.restorations} times"
            raise Refused.of(
                Reason.CONTROLLER_BEHIND, wanted, f"{head.restorations} times", RESTORE
            )
        self._keep(envelope, head)

    def _keep(self, envelope: bytes, head: Checkpoint) -> None:
        if grown(self._envelope, envelope):
            keep_private(self._path, head_line(envelope) + b"\n")
            self._envelope, self.head = envelope, head
