"""The decision on a part as it leaves the line, and what of it is a pilot's."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from framegate.errors import Reason
from framegate.pilot.policy import Stage
from framegate.pilot.would_be import WouldBe
from framegate.signed.decision import Decision
from framegate.signed.statement import Outcome
from framegate_line.ledger_rows import DecidedPart
from framegate_line.rules import Rules, Ruling

_LATE: Final = Ruling(Outcome.UNINSPECTED, Reason.TIMEOUT)


def said_of(decided: DecidedPart, stage: Stage, now_ms: int) -> DecidedPart | None:
    """What is handed over of a decision at `now_ms`. A PASS past its part's deadline never is: by
    then the part has been diverted (None); under a pilot it goes on, as what it is by then.
    """
    late = now_ms >= decided.part.deadline_ms and decided.ruling.outcome == Outcome.PASS
    if not late:
        return decided
    return None if stage.diverts else replace(decided, ruling=_LATE)


def decision_on(rules: Rules, decided: DecidedPart, stage: Stage, now_ms: int) -> Decision:
    """The decision on a part, as it is signed: the outcome stands, whatever stage lets it go on."""
    part = decided.part
    return Decision(
        decision_id=secrets.token_hex(16),
        line=rules.line,
        part=part.key.part,
        part_type=part.key.part_type,
        trigger_sequence=part.key.sequence,
        triggered_at_ms=part.at_ms,
        outcome=decided.ruling.outcome.value,
        reason=decided.ruling.reason,
        verdicts=decided.verdicts,
        issued_at_ms=now_ms,
        valid_until_ms=max(part.deadline_ms, now_ms) + rules.hold_ms,
        stage=stage.mark,
    )


def would_be(rules: Rules, decided: DecidedPart, stage: Stage, viewed: Sequence[str]) -> WouldBe:
    """What enforcing would have done, by whose view: where none decided, the first camera of which
    none came.
    """
    ruling = decided.ruling
    missing = [c for c in rules.cameras if c not in viewed]
    camera = ruling.camera or (missing or rules.cameras)[0]
    return WouldBe(stage, ruling.outcome, str(ruling.reason), camera)
