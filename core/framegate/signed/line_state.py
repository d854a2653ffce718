"""What a line adapter says of itself once a second: which of its outputs take what it hands them.
For people to look at; nothing opens for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, common_name
from framegate.signed.statement import CLOCK_SLACK_MS, STAGES, Statement

STATE_TOPIC: Final = "framegate/v1/lines/{line}/state"
"""Where an adapter says it on the broker; `+` for `line` is every line's."""


@dataclass(frozen=True, slots=True)
class LineState(Statement):
    """Outputs by the names they have on the command line: those that took the last heartbeat, and
    those that did not. `stage`: observe or warn where it diverts nothing, else empty.
    """

    line: str
    taking: tuple[str, ...]
    refusing: tuple[str, ...]
    issued_at_ms: int
    stage: str = ""

    TYPE: ClassVar[str] = "application/vnd.framegate.line-state+json"
    PURPOSE: ClassVar[Purpose] = Purpose.LINE
    LATER: ClassVar[frozenset[str]] = frozenset({"stage"})


def verify_line_state(
    data: bytes,
    line: str,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    now: datetime,
) -> LineState:
    """What `line` says of itself now.

    1. to 4. as `Statement.verify`; 5. it is of this line, and its signer's certificate is that
       line's, and its stage a known one; 6. it was said within `CLOCK_SLACK_MS` of `now`: an old
       one told again is no news. Raises Malformed or Refused (DECISION).
    """
    state, signer = LineState.verify(data, intermediates, root, now)
    name = common_name(signer)
    if state.line != line or name != f"line.{line}":  # 5
        seen = f"{state.line}, signed by {name}"
        raise Refused.of(Reason.DECISION, f"a state of line {line}", seen)
    if state.stage not in STAGES:
        raise Refused.of(Reason.DECISION, "a stage, observe or warn", ascii(state.stage)[:40])
    now_ms = int(now.timestamp() * 1000)
    if abs(now_ms - state.issued_at_ms) > CLOCK_SLACK_MS:  # 6
        raise Refused.of(
            Reason.DECISION, "a line's state of now", f"one of {state.issued_at_ms}, now {now_ms}"
        )
    return state
