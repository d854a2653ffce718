"""What a line adapter signs: a decision on each part, and notices (heartbeat, line-stop request). A
diverter opens for a decision and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, common_name
from framegate.signed.statement import CLOCK_SLACK_MS, STAGES, Outcome, Statement

MAX_DECISION_LIFE_S: Final = 120
"""No part is longer between its trigger and the diverter."""


@dataclass(frozen=True, slots=True)
class Decision(Statement):
    """What becomes of one part, which a diverter compares in full: number, type, sequence, and the
    time that its trigger said (`triggered_at_ms`, 0 where it said none). `verdicts` are ids of the
    verdicts it rests on; `reason` is empty unless UNINSPECTED. `stage`: observe or warn where the
    controller lets parts of this zone go on whatever the outcome, else empty.
    """

    decision_id: str
    line: str
    part: str
    part_type: str
    trigger_sequence: int
    triggered_at_ms: int
    outcome: str
    reason: str
    verdicts: tuple[str, ...]
    issued_at_ms: int
    valid_until_ms: int
    stage: str = ""

    TYPE: ClassVar[str] = "application/vnd.framegate.decision+json"
    PURPOSE: ClassVar[Purpose] = Purpose.LINE
    LATER: ClassVar[frozenset[str]] = frozenset({"stage"})

    @property
    def passes(self) -> bool:
        """Whether the part goes on: by its PASS, or because its zone is piloted."""
        return self.outcome == Outcome.PASS or bool(self.stage)


@dataclass(frozen=True, slots=True)
class Notice(Statement):
    """A heartbeat (`kind` heartbeat, `count` rising) or a request to stop the line (`kind`
    line-stop, `count` parts in a row).
    """

    line: str
    kind: str
    count: int
    reason: str
    issued_at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.line-notice+json"
    PURPOSE: ClassVar[Purpose] = Purpose.LINE


def verify_decision(
    data: bytes,
    line: str,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    now: datetime,
) -> Decision:
    """A decision of `line` that a diverter may act on.

    1. to 4. as `Statement.verify`; 5. it is of this line, and its signer's certificate is that
       line's; 6. PASS rests on verdicts and has no
       reason, and the stage is a known one; 7. it was issued in the past, lives at
       most `MAX_DECISION_LIFE_S` and has not run out. Raises Malformed or Refused (DECISION).
    """
    decision, signer = Decision.verify(data, intermediates, root, now)
    name = common_name(signer)
    if decision.line != line or name != f"line.{line}":  # 5
        seen = f"{decision.line}, signed by {name}"
        raise Refused.of(Reason.DECISION, f"a decision of line {line}", seen)
    if decision.outcome not in set(Outcome) or (
        decision.outcome == Outcome.PASS and (not decision.verdicts or decision.reason)
    ):  # 6
        raise Refused.of(Reason.DECISION, "an outcome with what belongs to it", decision.outcome)
    if decision.stage not in STAGES:
        raise Refused.of(Reason.DECISION, "a stage, observe or warn", ascii(decision.stage)[:40])
    now_ms = int(now.timestamp() * 1000)
    life = decision.valid_until_ms - decision.issued_at_ms
    if (
        not 0 < life <= MAX_DECISION_LIFE_S * 1000
        or now_ms > decision.valid_until_ms
        or decision.issued_at_ms > now_ms + CLOCK_SLACK_MS
    ):  # 7
        raise Refused.of(
            Reason.DECISION,
            "a decision of now",
            f"valid until {decision.valid_until_ms}, now {now_ms}",
        )
    return decision
