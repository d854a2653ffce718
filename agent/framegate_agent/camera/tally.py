"""What became of a source's parts."""

from __future__ import annotations

import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from framegate.errors import Reason
from framegate.signed.statement import Outcome, Verdict
from framegate.wire import Captured
from framegate_host.repeated import Repeated, more_of

log = logging.getLogger(__name__)
KEPT_VERDICTS: Final = 50


@dataclass
class Tally:
    """What became of this source's parts."""

    outcomes: Counter[str] = field(default_factory=Counter)
    uninspected: Counter[str] = field(default_factory=Counter)
    latest: deque[Verdict] = field(default_factory=lambda: deque(maxlen=KEPT_VERDICTS))
    _said: Repeated = field(default_factory=Repeated)

    def verdict(self, verdict: Verdict) -> None:
        """Count a verified verdict."""
        self.outcomes[verdict.outcome] += 1
        if verdict.outcome == Outcome.UNINSPECTED:
            self.uninspected[verdict.reason] += 1
        self.latest.append(verdict)
        self._said.over()

    def unsealed(self, head: Captured, reason: Reason) -> None:
        """Count a frame that never left this machine: uninspected, so its part is not good. Of many
        in a row for one reason few are named in the log.
        """
        self.outcomes[Outcome.UNINSPECTED] += 1
        self.uninspected[reason] += 1
        left_out = self._said.left_out(reason)
        if left_out is not None:
            part, trigger, more = ascii(head.part), head.trigger_sequence, more_of(left_out)
            log.warning("part %s (trigger %d) UNINSPECTED: %s%s", part, trigger, reason, more)
