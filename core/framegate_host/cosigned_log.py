"""A fleet's log of decisions as a machine that demands it knows it: the last cosigned head, over
restarts, and the decisions that were proved under it.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Final

from cryptography import x509

from framegate.errors import Failure, FramegateError, Reason, Refused
from framegate.transparency.cosignature import CosignedHead, Quorum
from framegate.transparency.decision import Kind, Named
from framegate.transparency.following import LogAnswer, follow_log
from framegate.transparency.head import TreeHead, parse_head
from framegate.transparency.note import parse_note
from framegate_host.private_files import keep_private

log = logging.getLogger(__name__)
MAX_WANTED: Final = 256
"""Decisions that are asked for at once; of more, the latest."""
MAX_PROVED: Final = 4_096
"""Decisions that are remembered; a zone has some dozen in force."""
HINT: Final = "framegate log show; framegate witness list"


class CosignedLog:
    """What was established of the log. `file` keeps the last head; `quorum` is what is demanded.

    Whatever the controller says its time is, cosignatures are judged by the later of that and this
    machine's own clock: neither alone makes an old head young.
    """

    def __init__(self, file: Path, quorum: Quorum) -> None:
        """Raises Malformed where the file is damaged."""
        self._file, self.quorum = file, quorum
        self._seen: TreeHead | None = None
        self._note = file.read_bytes() if file.exists() else b""
        if self._note:
            self._seen = parse_head(parse_note(self._note).text)
        self._head: CosignedHead | None = None
        self._proved: set[Named] = set()
        self._wanted: dict[Named, None] = {}
        self._failure: tuple[Failure, ...] = ()

    @property
    def seen(self) -> TreeHead | None:
        """The last head that was relied on."""
        return self._seen

    @property
    def wanted(self) -> tuple[Named, ...]:
        """Decisions that something here rests on and that are not proved yet."""
        return tuple(n for n in self._wanted if n not in self._proved)

    def take(self, answer: LogAnswer, root: x509.Certificate, now_ms: int) -> bool:
        """Take in what the controller shows (`follow_log`); whether a decision is proved that was
        not. A head that forks from the one that was seen is kept beside it, as evidence.

        Raises Malformed or Refused; nothing is believed then, and what was proved stays so until
        its head is too old.
        """
        try:
            now_ms = max(now_ms, time.time_ns() // 1_000_000)
            followed = follow_log(self._seen, answer, root, self.quorum, now_ms)
        except FramegateError as error:
            self._failure = error.failures
            if error.reason == Reason.LOG_FORKED:
                self._keep_fork(answer.note)
            raise
        if self._seen != followed.head.head:
            keep_private(self._file, followed.head.note)
            self._note = followed.head.note
        self._seen, self._head, self._failure = followed.head.head, followed.head, ()
        before = len(self._proved)
        self._proved |= followed.decided
        if len(self._proved) > MAX_PROVED:  # begin again: what is in force is asked for anew
            self._proved = set(followed.decided)
        return len(self._proved) != before

    def failed(self, error: FramegateError) -> None:
        """Nothing came: why, for whoever is refused meanwhile."""
        self._failure = error.failures

    def want(self, *named: Named) -> bool:
        """Whether all of these are proved under a head that still counts; what is not is asked for
        from now on.
        """
        self._wanted.update(dict.fromkeys(n for n in named if n not in self._proved))
        asked = [n for n in self._wanted if n not in self._proved][-MAX_WANTED:]
        self._wanted = dict.fromkeys(asked)
        return all(n in self._proved for n in named)

    def require_young(self, now_ms: int) -> None:
        """That the last head's cosignatures are young enough. Raises Refused (NOT_COSIGNED)."""
        now_s = max(now_ms, time.time_ns() // 1_000_000) // 1000
        if self._head is None:
            wanted = f"a head of the log of decisions with {self.quorum.least} cosignatures"
            raise self._refused(wanted, "none yet")
        if self._head.ends_s < now_s:
            wanted = f"{self.quorum.least} cosignatures of the last {self.quorum.within_s} s"
            raise self._refused(wanted, f"older ones, by {now_s - self._head.ends_s} s")

    def require(self, what: str, now_ms: int, *named: Named) -> None:
        """That `what` rests on decisions that are logged and cosigned. Raises Refused
        (NOT_COSIGNED, LOG_FORKED).
        """
        self.require_young(now_ms)
        if not self.want(*named):
            missing = [n for n in named if n not in self._proved]
            names = ", ".join(f"{n.kind} {n.sha256[:16]}" for n in missing[:4])
            raise self._refused(f"{what} in the log of decisions, cosigned", f"not there: {names}")

    def due(self, now_ms: int) -> bool:
        """Whether to ask the controller now: for something that is not proved, or for a head before
        a half of the present one's time is over.
        """
        if self._head is None or self.wanted:
            return True
        now_s = max(now_ms, time.time_ns() // 1_000_000) // 1000
        return self._head.ends_s - now_s < self.quorum.within_s // 2

    def _refused(self, wanted: str, came: str) -> Refused:
        refused = Refused.of(Reason.NOT_COSIGNED, wanted, came, HINT)
        forked = [f for f in self._failure if f.reason == Reason.LOG_FORKED]
        return Refused([*forked, *refused.failures]) if forked else refused

    def _keep_fork(self, note: bytes) -> None:
        kept = self._file.with_name(f"{self._file.name}.forked")
        both = {"seen": self._note.decode(), "shown": note.decode()}
        if not kept.exists():  # the first is the evidence; later ones could drive it out
            keep_private(kept, json.dumps(both, indent=1).encode())
        log.error("the log of decisions has two histories: both heads are in %s", kept)


def model_named(digest: str) -> Named:
    """The approval of a model."""
    return Named(Kind.MODEL, digest)
