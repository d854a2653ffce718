"""How every state machine here moves: by its table, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from framegate.errors import Reason, Refused

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def move(table: Mapping[tuple[S, E], S], state: S, event: E, what: str) -> S:
    """The state after `event`. Raises Refused (TRANSITION), saying what is allowed for `what` in
    this state.
    """
    try:
        return table[state, event]
    except KeyError:
        allowed = ", ".join(e for s, e in table if s == state) or "nothing"
        raise Refused.of(
            Reason.TRANSITION, f"for {what} that is {state}: {allowed}", event
        ) from None
