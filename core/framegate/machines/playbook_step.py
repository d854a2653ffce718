"""The life of a playbook's step: planned, done once, or never."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from framegate.machines.table import move


class StepState(StrEnum):
    """Where a step stands."""

    PLANNED = "planned"  # will be done now
    HELD = "held"  # waits to be asked for, beyond the cap or by its mode
    ASKED = "asked"  # a person is asked
    DONE = "done"
    REFUSED = "refused"  # the policy, the machine's state, a rule or a person said no
    SHADOW = "shadow"  # only written down
    NEVER = "never"  # about something that is never touched
    EXPIRED = "expired"  # too late to be done, or nobody answered


class StepEvent(StrEnum):
    """What moves it."""

    ASK = "ask"
    APPROVE = "approve"
    DO = "do"
    REFUSE = "refuse"
    EXPIRE = "expire"


_S, _E = StepState, StepEvent
TABLE = MappingProxyType(
    {
        (_S.PLANNED, _E.DO): _S.DONE,
        (_S.PLANNED, _E.REFUSE): _S.REFUSED,
        (_S.PLANNED, _E.EXPIRE): _S.EXPIRED,
        (_S.HELD, _E.ASK): _S.ASKED,
        (_S.HELD, _E.EXPIRE): _S.EXPIRED,
        (_S.ASKED, _E.APPROVE): _S.PLANNED,
        (_S.ASKED, _E.REFUSE): _S.REFUSED,
        (_S.ASKED, _E.EXPIRE): _S.EXPIRED,
    }
)
"""(state, event) to next state; what is not here is refused. No way leads out of done."""


def step(state: StepState, event: StepEvent) -> StepState:
    """The next state. Raises Refused (TRANSITION)."""
    return move(TABLE, state, event, "a playbook's step")
