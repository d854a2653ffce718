"""A reporter at its edge to the host: sightings in, signed reports out, in its own time.

Shared by gateways and lines; who signs, and how a report gets to the controller, is theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from framegate.errors import FramegateError
from framegate.findings.kinds import Finding, FindingKind
from framegate.findings.suppression import Key, Suppression
from framegate.signed.report import EVERY_MS, MAX_ACCEPTED, MAX_FINDINGS, Accepted, Report
from framegate.wire import sha256
from framegate_host.repeated import Repeated, more_of
from framegate_host.report_store import ReportStore

log = logging.getLogger(__name__)
UNTAKEN: Final = 32
"""Signed reports that wait for the controller; past that findings wait unsigned, and are counted
on, so that a controller that comes back is not told the same in a thousand reports.
"""
MAX_UNKEPT: Final = 10_000
"""Findings in memory while the disk takes none."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: the name that stands in the certificate, its DER, and the key's signature."""

    name: str
    certificate: bytes
    sign: Callable[[bytes], bytes]


class Reporter:
    """One host's reporting. Sightings come from any thread; `gather` and `sign` block, and belong
    into one.
    """

    def __init__(self, store: ReportStore, kind: type[Report], now_ms: Callable[[], int]) -> None:
        self.store, self._kind, self._now_ms = store, kind, now_ms
        self._lock = Lock()
        self._suppression = Suppression()
        self._accepted: dict[str, Accepted] = {}
        self._unkept: list[Finding] = []
        self._since_ms = 0
        self._said = Repeated()

    def saw(
        self, kind: FindingKind, reason: str, device: str = "", said: str = "", count: int = 1
    ) -> None:
        """Something that somebody should know; `device` is established, or empty for this host."""
        with self._lock:
            self._suppression.add(Key(kind, device, str(reason)), self._now_ms(), said, count)

    def accepted(self, device: str, at_ms: int) -> None:
        """A frame of `device` was inspected."""
        with self._lock:
            self._accept(Accepted(device=device, count=1, last_ms=at_ms))

    def gather(self) -> None:
        """Put what is due on the disk; where that cannot be, it is tried again."""
        with self._lock:
            self._unkept += self._suppression.due(self._now_ms())
            due, accepted = self._unkept, tuple(self._accepted.values())
            self._unkept, self._accepted = [], {}
        if not due and not accepted:
            return
        try:
            self.store.keep(due, accepted)
        except FramegateError as error:
            left_out = self._said.left_out(str(error))
            if left_out is not None:
                log.error("%s%s", error, more_of(left_out))
            with self._lock:
                self._unkept = (due + self._unkept)[:MAX_UNKEPT]
                for row in accepted:
                    self._accept(row)

    def sign(self, signer: Signer) -> bool:
        """Sign the next report, if one is due: a finding waits, as many cameras as one report names
        were accepted, or the last report is `EVERY_MS` old. Whether one was signed.
        """
        if len(self.store.untaken(UNTAKEN)) >= UNTAKEN:
            return False
        now, end = self._now_ms(), self.store.end()
        self._since_ms = self._since_ms or now
        begins = max(self._since_ms, end.closed_at_ms if end is not None else 0)
        waiting = self.store.waiting(MAX_FINDINGS, MAX_ACCEPTED)
        quiet = not waiting.findings and len(waiting.accepted) < MAX_ACCEPTED
        if quiet and end is not None and now - begins < EVERY_MS:
            return False
        report = self._kind(
            reporter=signer.name,
            store=self.store.id,
            number=end.number + 1 if end is not None else 1,
            previous=end.sha256 if end is not None else "",
            from_ms=begins,
            closed_at_ms=max(now, begins),
            findings=tuple(f.body() for f in waiting.findings),
            accepted=tuple(a.body() for a in waiting.accepted),
        )
        envelope = report.seal(signer.certificate, signer.sign)
        self.store.add(report, sha256(report.payload()).hex(), envelope, waiting)
        return True

    def _accept(self, row: Accepted) -> None:
        before = self._accepted.get(row.device)
        if before is not None:
            last = max(row.last_ms, before.last_ms)
            row = Accepted(device=row.device, count=row.count + before.count, last_ms=last)
        self._accepted[row.device] = row
