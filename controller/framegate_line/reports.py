"""What this line reports: signed on its disk, said on the broker until a gateway brings the
record's own proof that it is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from framegate.errors import FramegateError, Reason, Unavailable
from framegate.findings.kinds import FindingKind
from framegate.record.taken_reports import verify_taken
from framegate.record.verify import LogAnchor
from framegate.signed.report import REPORTS_TOPIC, LineReport
from framegate_host.report_store import ReportStore
from framegate_host.reporting import Reporter, Signer
from framegate_line.credentials import Credentials

log = logging.getLogger(__name__)
GATHER_S: Final = 1.0
AGAIN_S: Final = 10.0
"""Between two times that the same report is said: a gateway takes a second, a controller that
starts a few.
"""
AT_ONCE: Final = 8
Send = Callable[[str, bytes], None]


class LineReports:
    """The reporting of one line, in the event loop."""

    def __init__(
        self, line: str, store: ReportStore, credentials: Credentials, now_ms: Callable[[], int]
    ) -> None:
        self.reporter = Reporter(store, LineReport, now_ms)
        self._name, self._topic = f"line.{line}", REPORTS_TOPIC.format(line=line)
        self._anchor = LogAnchor(root=credentials.root)
        self._signer = Signer(self._name, credentials.der, credentials.sign)
        self._connected = True
        self._said: dict[int, float] = {}

    def saw(self, kind: FindingKind, reason: str, said: str = "") -> None:
        """Something that somebody should know."""
        self.reporter.saw(kind, reason, said=said)

    def broker(self, reason: Reason, said: str) -> None:
        """Something about the broker, which goes on."""
        self.saw(FindingKind.BROKER_TROUBLE, reason, said)

    async def run(self, send: Send, connected: Callable[[], bool]) -> None:
        """Gather, sign and say, forever; `send` raises Unavailable where the broker is away."""
        while True:
            self._look(connected())
            await asyncio.to_thread(self._gather)
            try:
                await self._say(send)
            except Unavailable as error:
                log.info("%s", error)
            await asyncio.sleep(GATHER_S)

    def taken(self, message: bytes) -> None:
        """What some gateway says it brought to the record: believed for the record's own proof."""
        try:
            report = verify_taken(message, self._name, self._anchor)
        except FramegateError as error:
            log.warning("a proof of a report refused: %s", ascii(str(error)))
            return
        if self.reporter.store.taken(report.number, report.sha256, report.index):
            self._said.pop(report.number, None)

    def close(self) -> None:
        """Let go of the store."""
        self.reporter.store.close()

    def _look(self, connected: bool) -> None:
        if self._connected and not connected:
            self.saw(FindingKind.BROKER_TROUBLE, Reason.UNAVAILABLE, "the connection ended")
        self._connected = connected

    def _gather(self) -> None:
        self.reporter.gather()
        while self.reporter.sign(self._signer):
            pass

    async def _say(self, send: Send) -> None:
        now = asyncio.get_running_loop().time()
        waiting = await asyncio.to_thread(self.reporter.store.untaken, AT_ONCE)
        for report in waiting:
            if now - self._said.get(report.number, float("-inf")) >= AGAIN_S:
                send(self._topic, report.envelope)
                self._said[report.number] = now
        self._said = {r.number: self._said[r.number] for r in waiting if r.number in self._said}
