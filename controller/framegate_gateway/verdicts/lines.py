"""Lines as this gateway hears them on its broker: who is there, and which outputs take decisions.
For operators to look at; no verdict rests on it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from framegate.errors import FramegateError
from framegate.identity.certificates import from_ms
from framegate.signed.line_state import STATE_TOPIC, LineState, verify_line_state
from framegate_gateway.trust.keys import GatewayKeys

log = logging.getLogger(__name__)
HEARD: Final = STATE_TOPIC.format(line="+")
EVERY_S: Final = 0.5
"""At least between two looks at one line's messages: a line speaks once a second, and whoever
speaks faster costs no signature check each.
"""
MAX_LINES: Final = 256
"""Lines that are remembered; their names are certified, and a plant has fewer."""
MAX_BYTES: Final = 16 * 1024
"""A state names a few outputs; its envelope carries a certificate."""


@dataclass(frozen=True, slots=True)
class HeardLine:
    """A line's latest verified word, and when it came by this gateway's clock (milliseconds)."""

    state: LineState
    heard_ms: int


class Lines:
    """Takes messages in the broker client's thread; rows are read in the event loop."""

    def __init__(self, keys: GatewayKeys, now_ms: Callable[[], int]) -> None:
        self._keys, self._now_ms = keys, now_ms
        self._lock = threading.Lock()
        self._heard: dict[str, HeardLine] = {}
        self._looked: dict[str, float] = {}

    def take(self, topic: str, payload: bytes) -> None:
        """A message on `HEARD`. One that does not verify is as if it had not come."""
        line, credentials = topic.split("/")[3], self._keys.credentials
        if credentials is None or len(payload) > MAX_BYTES or not self._due(line):
            return
        now = self._now_ms()
        try:
            state = verify_line_state(
                payload, line, credentials.authorities, credentials.root, from_ms(now)
            )
        except FramegateError as error:
            log.info("a line's state refused: %s", ascii(str(error)))
            return
        with self._lock:
            if line in self._heard or len(self._heard) < MAX_LINES:
                self._heard[line] = HeardLine(state, now)

    def rows(self) -> list[HeardLine]:
        """Every line that was heard, by name."""
        with self._lock:
            return [self._heard[line] for line in sorted(self._heard)]

    def _due(self, line: str) -> bool:
        now = time.monotonic()
        if now - self._looked.get(line, float("-inf")) < EVERY_S:
            return False
        if len(self._looked) >= MAX_LINES and line not in self._looked:
            self._looked.clear()  # names here are the topic's, not yet certified
        self._looked[line] = now
        return True
