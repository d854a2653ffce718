"""What became of a source's parts."""

from __future__ import annotations

import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from framegate.errors import Reason
from framegate.signed.statement import Outcome, Verdict
from framegate.wire import Captured

log = logging.getLogger(__name__)
KEPT_VERDICTS: Final = 50


@dataclass
class Tally:
    """What became of this source's parts."""

    outcomes: Counter[str] = field(default_factory=Counter)
    uninspected: Counter[str] = field(default_factory=Counter)
    latest: deque[Verdict] = field(default_factory=lambda: deque(maxlen=KEPT_VERDICTS))

    def verdict(self, verdict: Verdict) -> None:
        """Count a verified verdict."""
        self.outcomes[verdict.outcome] += 1
        if verdict.outcome == Outcome.UNINSPECTED:
            self.uninspected[verdict.reason] += 1
        self.latest.append(verdict)

    def unsealed(self, head: Captured, reason: Reason) -> None:
        """Count a frame that never left this machine: uninspected, so its part is not good."""
        self.outcomes[Outcome.UNINSPECTED] += 1
        self.uninspected[reason] += 1
        log.warning(
            "part %s (trigger %d) UNINSPECTED: %s", ascii(head.part), head.trigger_sequence, reason
        )
