"""One knob, the attest interval, and every deadline derived from it. The table stands in
docs/reference/protocol.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_INTERVAL_MS: Final = 60_000
MIN_INTERVAL_MS: Final = 1_000
"""A hardware TPM needs half a second a quote."""
MAX_INTERVAL_MS: Final = 3_600_000
NONCE_LIFE_MS: Final = 60_000
"""A hardware TPM answers in a few seconds; a minute leaves room for a busy one."""
HEARTBEAT_S: Final = 1.0
"""Of a watch that did not ask for another: agents of 0.1.0 give one up after five seconds."""
MAX_HEARTBEAT_S: Final = 60.0
"""Past it nobody would know for long that a connection is dead."""
HEARTBEATS: Final = 200
"""A second, to all who watch together: each costs 0.9 ms of a processor, so that all of them take
less than a fifth of one; a quarter of one where so many watch as a fleet port can take.
"""
STANDING_S: Final = 15.0
"""How often the registry is asked whether who watches still stands, beside what it is told of
changes: a thousand machines that were asked about each second took most of a processor.
"""
FEED_HEARTBEAT_S: Final = 0.5
"""On the trust feed: a gateway closes its gate after 3 s of silence, and one that is late by half a
second must not come near that.
"""
CONNECTION_AGE_MS: Final = 300_000
CONNECTION_GRACE_MS: Final = 10_000
"""Without grace gRPC never cuts an active stream."""
GRANT_TTL_S: Final = 120
TICKET_LIFE_S: Final = 86_400
RESERVATION_MS: Final = 60_000
TICKET_TRIES: Final = 5
TICKET_WINDOW_S: Final = 60.0
"""Five tries a minute from one address: no plant joins faster by hand, no guesser gets through 128
bits.
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """Deadlines of a fleet, in ms, from its attest interval."""

    interval_ms: int = DEFAULT_INTERVAL_MS

    @property
    def result_life_ms(self) -> int:
        """How long a result stands."""
        return 3 * self.interval_ms

    @property
    def standing_s(self) -> float:
        """How often to ask whether who watches still stands, in seconds."""
        return min(STANDING_S, self.interval_ms / 4000)

    @property
    def stale_ms(self) -> int:
        """After how long without a result a device is stale."""
        return 2 * self.interval_ms
