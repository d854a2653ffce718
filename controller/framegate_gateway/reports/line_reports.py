"""Reports of lines on this gateway's broker, on their way to the controller. The gateway keeps
none: a line says again what the record does not have.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from framegate.errors import FramegateError
from framegate.identity.certificates import common_name, from_ms
from framegate.signed.report import MAX_REPORT_BYTES, REPORTS_TOPIC, LineReport
from framegate_gateway.trust.keys import GatewayKeys
from framegate_host.token_buckets import Rate, TokenBuckets

log = logging.getLogger(__name__)
HEARD: Final = REPORTS_TOPIC.format(line="+")
MAX_LINES: Final = 256
MAX_WAITING: Final = 8
"""Of one line: it sends as many at once, and again what it got no proof of."""
RATE: Final = Rate(burst=16, per_s=2.0)
"""Signatures that are checked for one topic's name, which nobody vouches for but the broker."""


@dataclass(frozen=True, slots=True)
class LineEnvelope:
    """A verified report of `line`, as it was signed."""

    line: str
    number: int
    envelope: bytes


class LineReports:
    """Takes messages in the broker client's thread; what waits is read in the event loop."""

    def __init__(self, keys: GatewayKeys, now_ms: Callable[[], int]) -> None:
        self._keys, self._now_ms = keys, now_ms
        self._lock = threading.Lock()
        self._rates: TokenBuckets[str] = TokenBuckets(RATE, MAX_LINES)
        self._waiting: dict[str, OrderedDict[int, LineEnvelope]] = {}

    def take(self, topic: str, payload: bytes) -> None:
        """A message on `HEARD`. One that no line of this name signed is as if it had not come; the
        controller verifies it all again.
        """
        line, credentials, now = topic.split("/")[3], self._keys.credentials, self._now_ms()
        if credentials is None or len(payload) > 2 * MAX_REPORT_BYTES:
            return
        if not self._rates.take(line, now):
            return
        try:
            report, signer = LineReport.verify(
                payload, credentials.authorities, credentials.root, from_ms(now)
            )
            signed = common_name(signer)
        except FramegateError as error:
            log.info("a line's report refused: %s", ascii(str(error)))
            return
        if signed == report.reporter == f"line.{line}":
            self._put(LineEnvelope(line, report.number, payload))

    def waiting(self) -> list[LineEnvelope]:
        """What waits for the controller, each line's in order."""
        with self._lock:
            return [w for line in self._waiting.values() for _, w in sorted(line.items())]

    def done(self, envelope: LineEnvelope) -> None:
        """It was handed over, or refused for good."""
        with self._lock:
            line = self._waiting.get(envelope.line, OrderedDict())
            if line.get(envelope.number) == envelope:
                del line[envelope.number]
            if not line:
                self._waiting.pop(envelope.line, None)

    def _put(self, envelope: LineEnvelope) -> None:
        with self._lock:
            if len(self._waiting) >= MAX_LINES and envelope.line not in self._waiting:
                return
            line = self._waiting.setdefault(envelope.line, OrderedDict())
            if len(line) < MAX_WAITING or envelope.number in line:
                line[envelope.number] = envelope
