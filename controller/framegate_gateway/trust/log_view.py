"""The controller's record as this gateway last saw it, by which an older copy is told (N148)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.record.verify import LogAnchor
from framegate_host.seen_log import SeenLog
from framegate_proto.edge import from_log_position, to_seen_log
from framegate_proto.v1 import framegate_pb2 as pb


class LogView:
    """Remembers the record's head in `file`, over restarts. `root` gives the fleet's root, None
    while this host has no standing; `lost` is called with the first entry that a restoration lost.
    """

    def __init__(
        self,
        file: Path,
        root: Callable[[], x509.Certificate | None],
        lost: Callable[[int], None],
    ) -> None:
        self._seen, self._root, self._lost = SeenLog(file), root, lost

    @property
    def seen(self) -> pb.SeenLog:
        """What the controller has to go on from."""
        return to_seen_log(self._seen.head)

    def follow(self, update: pb.TrustUpdate) -> None:
        """Take in where the record stands.

        1. a snapshot says it, and it goes on from the head that was seen last (`SeenLog.follow`);
        2. between snapshots, on the connection whose snapshot did, it may be a later head alone.
        Raises Refused (CONTROLLER_BEHIND, AUDIT), Malformed.
        """
        position = from_log_position(update)
        if position is None and not update.snapshot:
            return
        root = self._root()
        if root is None:
            raise Refused.of(Reason.NOT_TRUSTED, "a gateway's host in standing", "no warrant")
        anchor = LogAnchor(root=root)
        if position is not None and not update.snapshot:
            self._seen.grow(position.checkpoint, anchor)  # 2
            return
        followed = self._seen.follow(position, anchor)  # 1
        if followed is not None and followed.restored:
            self._lost(min(r.kept for r in followed.restored))
